import fc from 'fast-check';
import { cronTimes } from '../../model/cron.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import {
  APPLIED_AT_ONCE,
  adoptionsFor,
  batchOf,
  DISCOVERED_AT_MOST,
  type Discovery,
  FOUND_AT_ONCE,
  type Listing,
  memberNamed,
  memberPlan,
  remembered,
} from '../../planning/discovery.ts';

const fleet = {
  name: 'fleet',
  file: 'plans/fleet.yaml',
  discover: { everyMs: 60_000 },
  pipeline: {
    ...{ formatVersion: 1, plan: 'fleet', labels: {}, steps: [], hash: 'of-fleet' },
    source: { engine: 'ysql', connection: { env: 'URL' }, databases: { include: [], exclude: ['tmp_*'] } },
    repository: { name: 'main', location: { kind: 'directory', path: '/r' } },
  },
} as unknown as CompiledPlan;

const at = '2026-11-30T02:00:00.000Z';

const minute = (index: number) => new Date(Date.parse(at) + index * 60_000).toISOString();

function lookAt(
  seen: { readonly found: readonly string[] } & Partial<Listing>,
  before?: Partial<Discovery>,
  { generation = 1, at: now = at } = {},
) {
  const known: Discovery | undefined = before && {
    ...{ at, generation: 1, members: [], refused: [] },
    ...before,
  };
  const listing = { leftOut: [], refused: [], ...seen };
  const { adoptions, refused, members } = adoptionsFor(fleet, known, { ...listing, at: now, generation });
  return { adoptions: adoptions.map(({ plan, because }) => `${because} ${plan.name}`), refused, members };
}

function look(found: readonly string[], before?: Partial<Discovery>, generation = 1) {
  const { members: _, ...rest } = lookAt({ found }, before, { generation });
  return rest;
}

test('a database becomes a plan of its own, and the plan is known from its name alone', () => {
  const plan = memberPlan(fleet, 'order_items');
  expect(plan).toMatchObject({
    name: 'fleet-order--items',
    discovered: { by: 'fleet', database: 'order_items' },
    pipeline: {
      plan: 'fleet-order--items',
      source: { databases: { include: ['order_items'], exclude: [] } },
    },
  });
  expect(plan.discover).toBeUndefined();
  expect(plan.pipeline.hash).not.toBe(memberPlan(fleet, 'orders').pipeline.hash);
  expect(memberNamed([fleet], 'fleet-order--items')).toEqual(plan);
});

test('what no plan of these files would find has no plan', () => {
  const { discover: _, ...without } = fleet;
  expect(memberNamed([without], 'fleet-orders')).toBeUndefined();
  expect(memberNamed([fleet], 'fleets-orders')).toBeUndefined();
  expect(memberNamed([fleet], 'fleet-Orders')).toBeUndefined();
  expect(memberNamed([fleet], 'fleet-')).toBeUndefined();
});

test('databases that can’t be plans are refused by name, and stop no other', () => {
  const { adoptions, refused } = look(['Orders', 'a-_b', 'a--b', 'a_-b', 'x'.repeat(60), 'y_', 'shop']);
  expect(adoptions).toEqual(['found fleet-a---b', 'found fleet-shop']);
  expect(refused).toEqual([
    { database: 'Orders', reason: expect.stringContaining('other characters') },
    // `a_-b` would have the same name, and has it.
    { database: 'a-_b', reason: "the plan's name, fleet-a---b, would be that of the database a_-b" },
    { database: 'a--b', reason: "the plan's name, fleet-a--b, would be that of the database a_b" },
    { database: 'x'.repeat(60), reason: expect.stringContaining('longer than 63 characters') },
    { database: 'y_', reason: expect.stringContaining('end with a hyphen') },
  ]);
});

test('a look applies what is new, gone or there again, and all after the plan has changed', () => {
  const inLineWith = 1;
  const members = [
    { database: 'old', inLineWith },
    { database: 'gone', goneSince: at, inLineWith },
    { database: 'going', missedSince: minute(-1), inLineWith },
  ];
  expect(look(['old', 'new'], { members }).adoptions).toEqual(['vanished fleet-going', 'found fleet-new']);
  expect(look(['old', 'going', 'gone'], { members }).adoptions).toEqual(['found fleet-gone']);
  expect(look(['old', 'going'], { members }, 2).adoptions).toEqual([
    ...['changed fleet-going', 'changed fleet-gone', 'changed fleet-old'],
  ]);
  // One that could not be changed is tried again, and it alone.
  const late = members.map((each) => (each.database === 'old' ? each : { ...each, inLineWith: 2 }));
  expect(look(['old', 'going'], { members: late }, 2).adoptions).toEqual(['changed fleet-old']);
});

test('one plan finds a bounded number of others', () => {
  const names = Array.from({ length: DISCOVERED_AT_MOST + 2 }, (_, index) => `db${index}`);
  const { adoptions, refused } = look(names);
  expect(adoptions).toHaveLength(DISCOVERED_AT_MOST);
  expect(refused).toHaveLength(2);
});

test('databases that are gone take the place of none that comes, and only the last of them are remembered', () => {
  const members = Array.from({ length: DISCOVERED_AT_MOST + 2 }, (_, index) => ({
    ...{ database: `preview${index}`, inLineWith: 1, goneSince: minute(index) },
  }));
  expect(look(['new'], { members })).toEqual({ adoptions: ['found fleet-new'], refused: [] });
  const there = { database: 'shop', inLineWith: 1 };
  const kept = remembered([...members, there]);
  expect(kept).toHaveLength(DISCOVERED_AT_MOST + 1);
  expect(kept).toContain(there);
  expect(kept).not.toContainEqual(members[1]);
  expect(kept).toContainEqual(members[2]);
  // One that was forgotten is found like a new one, and has its plan still.
  expect(look(['shop', 'preview0'], { members: kept }).adoptions).toEqual(['found fleet-preview0']);
});

test('one look alone takes no database for gone: a second one does, an interval later', () => {
  const members = [{ database: 'shop', inLineWith: 1 }];
  const first = lookAt({ found: ['crm'] }, { members }, { at: minute(0) });
  expect(first.adoptions).toEqual(['found fleet-crm']);
  expect(first.members).toEqual([{ database: 'shop', inLineWith: 1, missedSince: minute(0) }]);
  // `apply` has it look at once.
  const soon = lookAt({ found: [] }, first, { at: minute(0.5), generation: 2 });
  expect(soon).toMatchObject({ adoptions: [], members: first.members });
  expect(lookAt({ found: [] }, first, { at: minute(1) }).adoptions).toEqual(['vanished fleet-shop']);
  const back = lookAt({ found: ['shop'] }, first, { at: minute(1) });
  expect(back).toMatchObject({ adoptions: [], members: [{ database: 'shop', inLineWith: 1 }] });
  expect(back.members[0]).not.toHaveProperty('missedSince');
});

test('a database that the server has and that can’t be backed up is refused, makes no plan, and is not gone', () => {
  const members = [{ database: 'locked', inLineWith: 1, missedSince: minute(-9) }];
  const mule = { database: 'mule', reason: 'it is in MULE_INTERNAL' };
  const seen = lookAt(
    { found: ['shop'], leftOut: ['locked', 'shop_restored_x'], refused: [mule] },
    { members },
  );
  expect(seen.adoptions).toEqual(['found fleet-shop']);
  expect(seen.refused).toEqual([mule]);
  expect(seen.members).toEqual([{ database: 'locked', inLineWith: 1 }]);
});

test('a look applies a bounded number of plans, the next one goes on behind them, and what failed waits for its turn', () => {
  const names = Array.from({ length: 250 }, (_, index) => `db${String(index).padStart(3, '0')}`);
  const { adoptions } = adoptionsFor(fleet, undefined, {
    found: names,
    leftOut: [],
    refused: [],
    at,
    generation: 1,
  });
  const first = batchOf(adoptions, undefined);
  expect(first.now).toHaveLength(FOUND_AT_ONCE);
  expect(first.goesOn).toEqual({ after: 'db019', inMs: 60_000 });
  const changes = adoptions.map((each) => ({ ...each, because: 'changed' as const }));
  const seen: string[] = [];
  let after: string | undefined;
  for (let round = 0; round === 0 || after !== undefined; round++) {
    const { now, goesOn } = batchOf(changes, after);
    expect(now.length).toBeLessThanOrEqual(APPLIED_AT_ONCE);
    expect(goesOn?.inMs ?? 0).toBe(0);
    seen.push(...now.map(({ database }) => database));
    after = goesOn?.after;
  }
  expect(seen).toEqual(names);
});

describe('the times of a plan that was found', () => {
  const daily = { cron: ['0 2 * * *'], timezone: 'UTC', overlap: 'skip' } as const;
  const minutesOf = (cron: string, count = 200) =>
    Array.from({ length: count }, (_, index) => {
      const plan = { ...fleet, schedule: { ...daily, cron: [cron] } } as CompiledPlan;
      return memberPlan(plan, `tenant_${index}`).schedule?.cron[0] ?? '';
    });

  test('are spread over the hour of those of the plan that found it, and are always the same', () => {
    const lines = minutesOf('0 2 * * *');
    expect(lines).toEqual(minutesOf('0 2 * * *'));
    expect(lines.every((line) => /^([0-9]|[1-5][0-9]) 2 \* \* \*$/.test(line))).toBe(true);
    const counts = Map.groupBy(lines, (line) => line);
    expect(counts.size).toBeGreaterThan(45);
    expect(Math.max(...[...counts.values()].map(({ length }) => length))).toBeLessThan(15);
  });

  test.each([
    ['*/15 * * * *', /^(\d|1[0-4]),(1[5-9]|2\d),(3\d|4[0-4]),(4[5-9]|5\d) \* \* \* \*$/, 15],
    ['50 23 28-31 * *', /^5\d 23 28-31 \* \*$/, 10],
    ['@daily', /^\d+ 0 \* \* \*$/, 60],
    ['* * * * *', /^\* \* \* \* \*$/, 1],
    ['59 4 * * 1', /^59 4 \* \* 1$/, 1],
  ])('never pass the next time of %s, nor its hour', (cron, wanted, most) => {
    const lines = minutesOf(cron);
    expect(lines.filter((line) => line !== cron && !wanted.test(line))).toEqual([]);
    expect(new Set(lines).size).toBeLessThanOrEqual(most);
    expect(new Set(lines).size).toBeGreaterThan(most / 2 - 1);
  });

  test('are those of its backups, of its drills and of retention', () => {
    const plan = {
      ...{ ...fleet, schedule: daily, retention: { keepDaily: 7, cron: ['0 5 * * *'] } },
      drill: { backup: 'newest', check: 'rows', assertions: [], schedule: { ...daily, cron: ['0 6 * * 0'] } },
    } as unknown as CompiledPlan;
    const { schedule, retention, drill } = memberPlan(plan, 'orders');
    const lines = [schedule?.cron[0], retention?.cron?.[0], drill?.schedule?.cron[0]];
    const minutes = new Set(lines.map((line) => line?.split(' ')[0]));
    expect(minutes.size).toBe(1);
    expect([...minutes]).not.toEqual(['0']);
    expect(memberPlan(fleet, 'orders')).not.toHaveProperty('schedule');
  });

  test('never meet where those of the plan that found it do not, and keep their order', () => {
    const minutes = fc.uniqueArray(fc.nat(59), { minLength: 1, maxLength: 4 });
    const lines = fc
      .array(fc.tuple(minutes, fc.constantFrom('*', '2', '0-6')), { minLength: 1, maxLength: 3 })
      .map((each) => each.map(([at, hours]) => `${at.join(',')} ${hours} * * *`));
    const minutesOf = ({ schedule, retention, drill }: CompiledPlan) =>
      [schedule, retention, drill?.schedule].flatMap((times) =>
        (times?.cron ?? []).flatMap((line) => [...cronTimes(line).minutes].sort((one, other) => one - other)),
      );
    /** Of each two times of a plan, which one comes first, or that they are one. */
    const orderOf = (times: readonly number[]) =>
      times.flatMap((one) => times.map((other) => Math.sign(one - other)));
    fc.assert(
      fc.property(lines, lines, lines, fc.nat(10_000), (backups, prunes, drills, tenant) => {
        const plan = {
          ...{ ...fleet, schedule: { ...daily, cron: backups }, retention: { cron: prunes } },
          drill: { backup: 'newest', check: 'rows', assertions: [], schedule: { ...daily, cron: drills } },
        } as unknown as CompiledPlan;
        const spread = minutesOf(memberPlan(plan, `tenant_${tenant}`));
        expect(orderOf(spread)).toEqual(orderOf(minutesOf(plan)));
        expect(Math.max(...spread)).toBeLessThan(60);
      }),
    );
  });
});
