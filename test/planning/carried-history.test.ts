import type { HistoryWindow } from '../../model/carried-history.ts';
import { windowOf } from '../../model/history-window.ts';
import type { CatalogueEntry, RecoverySource } from '../../model/recovery.ts';
import { exportTimesOf, schedulePolicyOf } from '../../planning/off-cluster.ts';
import { planRecovery, recoveryWindow } from '../../planning/recovery/plan.ts';
import { decideRetention } from '../../planning/retention.ts';
import { DAY_MS, entryAt, FAILED, HOUR_MS, NOW, OK } from './catalogue-samples.ts';

const QUARTER_MS = HOUR_MS / 4;
const at = (agoMs: number) => new Date(NOW.getTime() - agoMs).toISOString();

/** An export of `agoMs` ago that carries a quarter of an hour. */
function exported(agoMs: number, more: Partial<HistoryWindow> = {}): CatalogueEntry {
  const from = at(agoMs + QUARTER_MS);
  const history = { from, to: at(agoMs), safeFrom: from, ...more };
  return entryAt(agoMs, { ...OK, history });
}

const backups = (...entries: readonly CatalogueEntry[]): readonly RecoverySource[] => [
  { kind: 'backups', entries },
];
const plan = (sources: readonly RecoverySource[], request: Parameters<typeof planRecovery>[1]) =>
  planRecovery(sources, request, { now: NOW });

describe('the history that exports carry', () => {
  const [first, second] = [exported(2 * QUARTER_MS), exported(QUARTER_MS)];
  const chain = backups(first, second);

  it('reaches every instant of a chain; a backup’s own needs none of it', () => {
    expect(plan(chain, { to: at(1.5 * QUARTER_MS) })).toMatchObject({
      ...{ kind: 'restore', way: 'snapshot', backup: second.backup, instant: at(1.5 * QUARTER_MS) },
      why: expect.stringContaining('no other way to it costs less'),
      notes: [
        expect.any(String),
        expect.stringContaining('INCONCLUSIVE'),
        expect.stringContaining('sequences'),
      ].slice(1),
    });
    expect(plan(chain, { to: first.instant })).toMatchObject({ way: 'backup', backup: first.backup });
    expect(plan(chain, {})).toMatchObject({ way: 'backup', backup: second.backup });
  });

  it('is one range where windows touch, and a hole with its reason where they don’t', () => {
    expect(recoveryWindow(chain)).toMatchObject({
      ranges: [{ from: at(3 * QUARTER_MS), to: at(QUARTER_MS), way: 'snapshot' }],
    });
    expect(recoveryWindow(chain)).not.toHaveProperty('holes');
    const torn = backups(exported(4 * QUARTER_MS), second);
    expect(recoveryWindow(torn)).toMatchObject({
      ranges: [{ to: at(4 * QUARTER_MS) }, { from: at(2 * QUARTER_MS) }],
      holes: [
        { from: at(4 * QUARTER_MS), to: at(2 * QUARTER_MS), reason: expect.stringContaining('exported') },
      ],
    });
    expect(plan(torn, { to: at(3 * QUARTER_MS) })).toMatchObject({
      ...{ kind: 'refused', code: 'INSTANT_NOT_EXACT' },
      ...{ before: at(4 * QUARTER_MS), after: at(2 * QUARTER_MS) },
    });
  });

  it('does not go back over a change of the schema: refused with both neighbours', () => {
    const safeFrom = at(1.3 * QUARTER_MS);
    const altered = backups(first, exported(QUARTER_MS, { safeFrom }));
    expect(plan(altered, { to: at(1.5 * QUARTER_MS) })).toMatchObject({
      ...{ kind: 'refused', code: 'INSTANT_BEFORE_DDL', before: first.instant, after: safeFrom },
    });
    expect(plan(altered, { to: at(1.5 * QUARTER_MS), nearest: 'before' })).toMatchObject({
      ...{ kind: 'restore', instant: first.instant },
    });
    expect(plan(altered, { to: safeFrom })).toMatchObject({ way: 'snapshot', instant: safeFrom });
    expect(recoveryWindow(altered)).toMatchObject({
      ranges: [{ to: first.instant }, { from: safeFrom }],
      holes: [{ to: safeFrom, reason: expect.stringContaining('schema changed') }],
    });
  });

  it('is of no use in a backup that was found damaged', () => {
    const damaged = backups(first, { ...second, ...FAILED });
    expect(plan(damaged, { to: at(1.5 * QUARTER_MS) })).toMatchObject({
      kind: 'refused',
      before: first.instant,
    });
    expect(recoveryWindow(damaged).ranges).toEqual([
      { from: at(3 * QUARTER_MS), to: first.instant, way: 'snapshot' },
    ]);
  });

  it('is passed over where the universe has the instant itself, with what it would cost', () => {
    const schedule: RecoverySource = {
      ...{ kind: 'snapshot-schedule', schedule: 's1', ways: ['clone', 'rewind'] },
      windows: [{ from: at(DAY_MS), to: at(0) }],
    };
    expect(plan([schedule, ...chain], { to: at(1.5 * QUARTER_MS) })).toMatchObject({
      way: 'clone',
      notes: expect.arrayContaining([
        expect.stringMatching(/^Backup .* is passed over: it would fetch 400 B\.$/),
      ]),
    });
  });

  it('is told to be uncertain where the catalog version rose', () => {
    const rose = backups(exported(QUARTER_MS, { catalogRose: true }));
    expect(JSON.stringify(plan(rose, { to: at(1.5 * QUARTER_MS) }))).toContain('created and dropped again');
  });
});

describe('how long exports are kept', () => {
  it('is the plan’s own time for them, and they take no other backup’s place', () => {
    const nightly = [entryAt(0.5 * DAY_MS, OK), entryAt(1.5 * DAY_MS, OK), entryAt(2.5 * DAY_MS)];
    const exports = [exported(0), exported(HOUR_MS), exported(2 * DAY_MS)];
    const kept = (historyMs?: number) =>
      decideRetention(
        [...nightly, ...exports],
        { keepLast: 2 },
        { now: NOW, ...(historyMs === undefined ? {} : { historyMs }) },
      )
        .filter(({ keep }) => keep)
        .map(({ backup }) => backup);
    expect(kept(DAY_MS)).toEqual(
      [exports[0], exports[1], nightly[0], nightly[1]].map((entry) => entry?.backup),
    );
    // The plan gave the history up: its policy judges all that is left.
    expect(kept()).toEqual([exports[0], exports[1]].map((entry) => entry?.backup));
  });

  it('lets a plan without retention keep its other backups', () => {
    const verdicts = decideRetention([entryAt(90 * DAY_MS), exported(0), exported(8 * DAY_MS)], undefined, {
      now: NOW,
      historyMs: 7 * DAY_MS,
    });
    expect(verdicts.map(({ keep }) => keep)).toEqual([true, false, true]);
  });
});

describe('the schedule that a plan needs', () => {
  const offCluster = { everyMs: 15 * 60_000, retentionMs: 7 * DAY_MS };

  it('keeps snapshots long enough for a worker that was away', () => {
    expect(schedulePolicyOf({ offCluster })).toEqual({
      ...{ intervalMs: offCluster.everyMs, retentionMs: 4 * HOUR_MS, adopt: false },
    });
    const inCluster = { intervalMs: offCluster.everyMs, retentionMs: 3 * DAY_MS, adopt: true };
    expect(schedulePolicyOf({ offCluster, inCluster })).toEqual(inCluster);
    expect(schedulePolicyOf({ inCluster })).toBe(inCluster);
    expect(schedulePolicyOf(undefined)).toBeUndefined();
  });

  it.each([
    [1, '* * * * *'],
    [15, '*/5 * * * *'],
    [60, '*/20 * * * *'],
    [1440, '*/20 * * * *'],
  ])('is looked at about three times an interval of %i minutes', (minutes, cron) => {
    const pointTime = { offCluster: { ...offCluster, everyMs: minutes * 60_000 } };
    expect(exportTimesOf({ pointTime } as unknown as Parameters<typeof exportTimesOf>[0])).toEqual([cron]);
  });
});

test('a window counts whole milliseconds within what the snapshot carries', () => {
  const base = {
    database: 'd',
    api: 'ysql',
    snapshot: 's',
    snapshotTime: '2026-11-24T12:00:00.123456Z',
  } as const;
  const history = { schedule: 'x', from: '2026-11-24T11:45:00.000001Z' };
  const of = (more: object) =>
    windowOf({
      readPoint: {
        ...{ kind: 'universe-snapshot', epoch: 1, takenAt: base.snapshotTime },
        databases: [{ ...base, history: { ...history, ...more } }],
      },
    });
  expect(of({ schemaSince: history.from })).toEqual({
    ...{
      from: '2026-11-24T11:45:00.001Z',
      safeFrom: '2026-11-24T11:45:00.001Z',
      to: '2026-11-24T12:00:00.123Z',
    },
  });
  expect(of({})).toMatchObject({ safeFrom: '2026-11-24T12:00:00.123Z' });
});
