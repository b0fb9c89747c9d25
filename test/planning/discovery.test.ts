import type { CompiledPlan } from '../../model/pipeline.ts';
import {
  adoptionsFor,
  DISCOVERED_AT_MOST,
  type Discovery,
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

function look(found: readonly string[], before?: Partial<Discovery>, generation = 1) {
  const known: Discovery | undefined = before && {
    ...{ at, generation: 1, members: [], refused: [] },
    ...before,
  };
  const { adoptions, refused } = adoptionsFor(fleet, known, { found, at, generation });
  return { adoptions: adoptions.map(({ plan, because }) => `${because} ${plan.name}`), refused };
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
    { database: 'going', inLineWith },
  ];
  expect(look(['old', 'new'], { members }).adoptions).toEqual(['found fleet-new', 'vanished fleet-going']);
  expect(look(['old', 'going', 'gone'], { members }).adoptions).toEqual(['found fleet-gone']);
  expect(look(['old', 'going'], { members }, 2).adoptions).toEqual([
    ...['changed fleet-old', 'changed fleet-going', 'changed fleet-gone'],
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
  const minute = (index: number) => new Date(Date.parse(at) + index * 60_000).toISOString();
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
