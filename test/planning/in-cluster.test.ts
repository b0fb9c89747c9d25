import fc from 'fast-check';
import type { InClusterLimit, RecoverySource } from '../../model/recovery.ts';
import { planRecovery, recoveryWindow } from '../../planning/recovery/plan.ts';
import { anyEntries, DAY_MS, entryAt, HOUR_MS, NOW, OK } from './catalogue-samples.ts';

const CASES = 2_000;
const BACKUP = entryAt(2 * DAY_MS, OK);
const at = (agoMs: number) => new Date(NOW.getTime() - agoMs).toISOString();

function schedule(limits: readonly InClusterLimit[] = [], fromAgoMs = DAY_MS): RecoverySource {
  return {
    kind: 'snapshot-schedule',
    schedule: 's1',
    ways: ['clone', 'rewind'],
    windows: [{ from: at(fromAgoMs), to: at(0) }],
    limits,
  };
}

const CDC: InClusterLimit = {
  ways: ['rewind'],
  reason: 'change data capture reads the database',
  remedy: 'Drop the slots.',
};

function plan(request: Parameters<typeof planRecovery>[1], sources: readonly RecoverySource[]) {
  return planRecovery(sources, request, { now: NOW });
}

describe("the universe's own history", () => {
  const both: readonly RecoverySource[] = [schedule(), { kind: 'backups', entries: [BACKUP] }];

  it('is preferred for an instant it reaches: a rewind where the database is overwritten, else a clone', () => {
    const to = at(HOUR_MS);
    expect(plan({ to, replace: true }, both)).toMatchObject({
      kind: 'restore',
      way: 'rewind',
      schedule: 's1',
      instant: to,
    });
    expect(plan({ to }, both)).toMatchObject({
      way: 'clone',
      notes: [expect.stringContaining('No data are fetched')],
    });
    expect(plan({ to: BACKUP.instant }, both)).toMatchObject({ way: 'backup', backup: BACKUP.backup });
  });

  it('is not what is meant where no instant is named', () => {
    expect(plan({}, both)).toMatchObject({ way: 'backup', backup: BACKUP.backup });
    expect(plan({ replace: true }, [schedule()])).toMatchObject({ kind: 'refused', code: 'NO_BACKUP' });
  });

  it('is passed over with the documented reason, and the refusal says so', () => {
    const limited: readonly RecoverySource[] = [schedule([CDC]), { kind: 'backups', entries: [BACKUP] }];
    expect(plan({ to: at(HOUR_MS), replace: true }, limited)).toMatchObject({
      kind: 'refused',
      code: 'INSTANT_NOT_EXACT',
      before: BACKUP.instant,
      notes: [
        expect.stringContaining('The rewind by the snapshot schedule s1 is passed over: change data capture'),
      ],
    });
    // Only where it breaks others, and that is asked for.
    const breaking: readonly RecoverySource[] = [schedule([{ ...CDC, breaksOthers: true }])];
    const wish = { to: at(HOUR_MS), replace: true };
    expect(plan(wish, breaking)).toMatchObject({ kind: 'refused' });
    expect(plan({ ...wish, breakOthers: true }, breaking)).toMatchObject({ way: 'rewind' });
    expect(plan({ ...wish, breakOthers: true }, limited)).toMatchObject({ kind: 'refused' });
    expect(plan({ to: at(HOUR_MS) }, limited)).toMatchObject({ way: 'clone' });
    expect(plan({ to: at(HOUR_MS), tables: ['public.t'] }, limited)).toMatchObject({
      kind: 'refused',
      notes: [expect.stringContaining('takes the whole database')],
    });
    expect(recoveryWindow(limited).ranges.map(({ way }) => way)).toEqual(['clone']);
  });

  it('says why a clone of a plan with several databases is passed over', () => {
    const several = { ...schedule(), ways: ['rewind'] } as RecoverySource;
    expect(plan({ to: at(HOUR_MS) }, [several, { kind: 'backups', entries: [BACKUP] }])).toMatchObject({
      kind: 'refused',
      notes: [expect.stringContaining('a clone is of one YSQL database')],
    });
    expect(plan({ to: at(HOUR_MS), replace: true }, [several])).toMatchObject({ way: 'rewind' });
  });

  it('whatever is asked: what is accepted lies in its source, what is refused lies in none', () => {
    let cases = 0;
    const anySource = fc.record({
      entries: anyEntries(),
      fromAgoMs: fc.integer({ min: 1, max: 20 * DAY_MS }),
      limits: fc.subarray([CDC]),
    });
    const anyRequest = fc.record({ agoMs: fc.integer({ min: 0, max: 25 * DAY_MS }), replace: fc.boolean() });
    fc.assert(
      fc.property(anySource, anyRequest, ({ entries, fromAgoMs, limits }, { agoMs, replace }) => {
        cases += 1;
        const sources: readonly RecoverySource[] = [
          schedule(limits, fromAgoMs),
          { kind: 'backups', entries },
        ];
        const decision = plan({ to: at(agoMs), replace }, sources);
        const isAllowed = !(replace && limits.length > 0);
        const isReached = isAllowed && agoMs <= fromAgoMs;
        if (isReached)
          expect(decision).toMatchObject({ way: replace ? 'rewind' : 'clone', instant: at(agoMs) });
        else if (decision.kind === 'restore') {
          expect(decision.way).toBe('backup');
          expect(decision.instant).toBe(at(agoMs));
        } else if (!isAllowed) expect(decision.notes.join()).toContain('change data capture');
      }),
      { numRuns: CASES },
    );
    process.stdout.write(`ways back within the universe: ${cases} cases tried\n`);
  });
});
