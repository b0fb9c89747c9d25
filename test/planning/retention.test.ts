import fc from 'fast-check';
import type { Retention } from '../../model/pipeline.ts';
import type { CatalogueEntry } from '../../model/recovery.ts';
import { periodOf } from '../../planning/calendar.ts';
import { decideRetention, type RetentionContext } from '../../planning/retention.ts';
import { anyEntries, DAY_MS, entryAt, FAILED, HOUR_MS, NOW, OK, told } from './catalogue-samples.ts';

const CASES = 3_000;

function kept(
  entries: readonly CatalogueEntry[],
  policy: Retention | undefined,
  context: Partial<RetentionContext> = {},
): string[] {
  return decideRetention(entries, policy, { now: NOW, ...context })
    .filter(({ keep }) => keep)
    .map(({ backup }) => backup);
}

const count = fc.option(fc.integer({ min: 1, max: 12 }), { nil: undefined });
const length = fc.option(
  fc.integer({ min: 1, max: 60 * 24 }).map((hours) => hours * HOUR_MS),
  { nil: undefined },
);
const timezone = fc.constantFrom(
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Australia/Lord_Howe',
  'Asia/Kathmandu',
);

const anyPolicy: fc.Arbitrary<Retention> = fc
  .record({
    keepLast: count,
    keepHourly: count,
    keepDaily: count,
    keepWeekly: count,
    keepMonthly: count,
    keepYearly: count,
    keepWithinMs: length,
    minCount: count,
    minAgeMs: length,
    timezone,
  })
  .map((members) => Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)));

describe('retention', () => {
  it('keeps the newest backups, and the newest of each hour, day, week, month and year', () => {
    // Every six hours for 500 days, at 00:00, 06:00, 12:00 and 18:00.
    const entries = Array.from({ length: 2_000 }, (_, index) => entryAt(index * 6 * HOUR_MS, OK));
    const instants = (policy: Retention) => {
      const names = kept(entries, policy);
      return entries
        .filter(({ backup }) => names.includes(backup))
        .map(({ instant }) => instant.slice(0, 13));
    };
    expect(instants({ keepLast: 2 })).toEqual(['2026-11-24T12', '2026-11-24T06']);
    expect(instants({ keepHourly: 3 })).toEqual(['2026-11-24T12', '2026-11-24T06', '2026-11-24T00']);
    expect(instants({ keepDaily: 3 })).toEqual(['2026-11-24T12', '2026-11-23T18', '2026-11-22T18']);
    expect(instants({ keepWeekly: 3 })).toEqual(['2026-11-24T12', '2026-11-22T18', '2026-11-15T18']);
    expect(instants({ keepMonthly: 3 })).toEqual(['2026-11-24T12', '2026-10-31T18', '2026-09-30T18']);
    expect(instants({ keepYearly: 3 })).toEqual(['2026-11-24T12', '2025-12-31T18']);
    expect(instants({ keepWithinMs: DAY_MS })).toHaveLength(5);
    expect(kept(entries, undefined)).toHaveLength(2_000);
  });

  it('speaks of the days of its zone, where the clocks change too', () => {
    const at = (instant: string) => entryAt(NOW.getTime() - Date.parse(instant), OK);
    // 23:30 UTC is the next day in Berlin.
    const late = at('2026-11-22T23:30:00Z');
    const noon = at('2026-11-23T11:00:00Z');
    expect(kept([late, noon], { keepDaily: 5, timezone: 'UTC' })).toHaveLength(2);
    expect(kept([late, noon], { keepDaily: 5, timezone: 'Europe/Berlin' })).toEqual([noon.backup]);
    // 25 October 2026, 02:30 twice in Berlin: two hours, one day.
    const twice = [at('2026-10-25T00:30:00Z'), at('2026-10-25T01:30:00Z')];
    expect(kept(twice, { keepHourly: 5, timezone: 'Europe/Berlin' })).toHaveLength(2);
    expect(kept(twice, { keepDaily: 5, timezone: 'Europe/Berlin' })).toHaveLength(1);
  });

  it.each([
    ['2026-10-25T00:59:59Z', 'Europe/Berlin', '2026-10-25T02+02:00', '2026-10-25', '2026-W43'],
    ['2026-10-25T01:00:00Z', 'Europe/Berlin', '2026-10-25T02+01:00', '2026-10-25', '2026-W43'],
    ['2027-01-03T23:59:59Z', 'UTC', '2027-01-03T23+00:00', '2027-01-03', '2026-W53'],
    ['2024-12-30T00:00:00Z', 'UTC', '2024-12-30T00+00:00', '2024-12-30', '2025-W01'],
    ['2026-11-22T18:14:59Z', 'Asia/Kathmandu', '2026-11-22T23+05:45', '2026-11-22', '2026-W47'],
    ['2026-11-22T18:15:00Z', 'Asia/Kathmandu', '2026-11-23T00+05:45', '2026-11-23', '2026-W48'],
    ['2026-11-24T02:00:00Z', 'America/New_York', '2026-11-23T21-05:00', '2026-11-23', '2026-W48'],
  ])('finds the hour, day and week of %s in %s', (instant, zone, hour, day, week) => {
    const ms = Date.parse(instant);
    expect([periodOf(ms, 'hour', zone), periodOf(ms, 'day', zone), periodOf(ms, 'week', zone)]).toEqual([
      hour,
      day,
      week,
    ]);
  });

  it('lets a damaged backup take no sound one’s place', () => {
    const sound = entryAt(30 * HOUR_MS, OK);
    const damaged = entryAt(20 * HOUR_MS, FAILED);
    expect(kept([damaged, sound], { keepLast: 1 })).toEqual([damaged.backup, sound.backup]);
    expect(kept([damaged, sound], { keepDaily: 1 })).toEqual([damaged.backup, sound.backup]);
  });

  it('lets it take none either where a later verification could not look', () => {
    const unverified = entryAt(30 * HOUR_MS);
    const at = NOW.toISOString();
    const damaged = entryAt(20 * HOUR_MS, {
      verified: { level: 'content', verdict: 'INCONCLUSIVE', at },
      lastBad: { level: 'checksums', at },
    });
    expect(kept([damaged, unverified], { keepLast: 1 })).toEqual([damaged.backup, unverified.backup]);
  });

  it.each([
    ['a safety backup, which holds what a restore overwrote,', { kind: 'safety' }],
    ['a backup that lacks rows which could not be read', { isIncomplete: true }],
  ] as const)('lets %s take no other’s place', (_what, lesser) => {
    const whole = entryAt(30 * HOUR_MS);
    const later = entryAt(20 * HOUR_MS, lesser);
    for (const policy of [{ keepLast: 1 }, { keepDaily: 1 }, { minCount: 1 }, { keepYearly: 1 }]) {
      expect(kept([later, whole], policy)).toContain(whole.backup);
    }
    // Not even where it was verified, and the other was not.
    expect(kept([entryAt(20 * HOUR_MS, { ...lesser, ...OK }), whole], { keepLast: 1 })).toContain(
      whole.backup,
    );
    expect(
      kept(
        [
          { ...later, ...OK },
          { ...whole, ...OK },
        ],
        { minAgeMs: 1 },
      ),
    ).toContain(whole.backup);
  });

  it('drops nothing by age while there are no new backups', () => {
    const entries = [100, 101, 102].map((days) => entryAt(days * DAY_MS, OK));
    expect(kept(entries, { keepWithinMs: 5 * DAY_MS })).toHaveLength(3);
  });

  it('says which rules keep a backup, and holds what is read, locked, needed, or of the future', () => {
    const lockedUntil = new Date(NOW.getTime() + DAY_MS).toISOString();
    const base = entryAt(10 * DAY_MS, { backup: 'base' });
    const verdicts = decideRetention(
      [
        entryAt(-HOUR_MS, { backup: 'ahead' }),
        entryAt(HOUR_MS, { backup: 'newest' }),
        entryAt(5 * DAY_MS, { ...OK, backup: 'good', needs: ['base'] }),
        entryAt(6 * DAY_MS, { backup: 'read' }),
        entryAt(7 * DAY_MS, { backup: 'locked', lockedUntil }),
        entryAt(8 * DAY_MS, { backup: 'gone', lockedUntil: NOW.toISOString() }),
        base,
      ],
      { keepLast: 1, keepDaily: 1, minAgeMs: 2 * HOUR_MS },
      { now: NOW, protectedBackups: [{ backup: 'read', reader: 'restore:orders:x' }] },
    );
    expect(verdicts.map(({ backup, rules }) => [backup, ...rules])).toEqual([
      ['ahead', 'inFuture'],
      ['newest', 'keepLast', 'keepDaily', 'minAge'],
      ['good', 'lastGood'],
      ['read', 'inUse'],
      ['locked', 'objectLock'],
      ['gone'],
      ['base', 'needed'],
    ]);
    expect(verdicts.map(({ reason }) => reason)).toEqual(
      expect.arrayContaining([
        expect.stringContaining('keepDaily (newest of 2026-11-24, 1 of 1)'),
        'inUse (restore:orders:x reads it)',
        "needed (good can't be restored without it)",
        'no rule keeps it',
      ]),
    );
  });

  it('never drops the last one found good, whatever backups, clocks and policies come', () => {
    // Backups come and are verified, clocks jump both ways, the policy changes; what is dropped is gone.
    const event = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          kind: fc.constant('backup' as const),
          skewMs: fc.integer({ min: -3 * HOUR_MS, max: 3 * HOUR_MS }),
          good: fc.constantFrom(true, false, undefined),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant('verify' as const), index: fc.nat(50), good: fc.boolean() }),
      },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('prune' as const), policy: anyPolicy }) },
      {
        weight: 2,
        arbitrary: fc.record({
          kind: fc.constant('clock' as const),
          byMs: fc.oneof(
            fc.integer({ min: 0, max: 40 * DAY_MS }),
            fc.integer({ min: -400 * DAY_MS, max: 400 * DAY_MS }),
          ),
        }),
      },
    );
    let prunes = 0;
    fc.assert(
      fc.property(fc.array(event, { minLength: 5, maxLength: 60 }), (events) => {
        let nowMs = NOW.getTime();
        let backups: CatalogueEntry[] = [];
        let made = 0;
        const history = (good: boolean | undefined) => (good === undefined ? {} : good ? OK : FAILED);
        for (const one of events) {
          if (one.kind === 'clock') nowMs += one.byMs;
          else if (one.kind === 'backup') {
            backups.push(
              entryAt(NOW.getTime() - nowMs - one.skewMs, { backup: `b${made++}`, ...history(one.good) }),
            );
          } else if (one.kind === 'verify') {
            backups = backups.map((entry, index) => {
              if (index !== one.index) return entry;
              const { lastGood: _lastGood, verified: _verified, ...rest } = entry;
              return { ...rest, ...history(one.good) };
            });
          } else {
            prunes += 1;
            const good = backups.filter(({ lastGood }) => lastGood !== undefined);
            const left = kept(backups, one.policy, { now: new Date(nowMs) });
            if (good.length > 0) expect(good.some(({ backup }) => left.includes(backup))).toBe(true);
            const past = good.filter(({ instant }) => Date.parse(instant) <= nowMs);
            const newestMs = Math.max(...past.map(({ instant }) => Date.parse(instant)));
            const newest = past.filter(({ instant }) => Date.parse(instant) === newestMs);
            if (past.length > 0) expect(newest.some(({ backup }) => left.includes(backup))).toBe(true);
            if (backups.length > 0) expect(left).not.toEqual([]);
            backups = backups.filter(({ backup }) => left.includes(backup));
          }
        }
      }),
      { numRuns: CASES },
    );
    told(CASES, `histories with ${prunes} prunes: the last good backup was never dropped`);
  });

  it('is not pushed by a flood of fake backups: nothing younger than minAge goes, nothing else goes sooner', () => {
    let floods = 0;
    fc.assert(
      fc.property(
        anyEntries(),
        fc.array(fc.integer({ min: -10 * DAY_MS, max: 30 * DAY_MS }), { maxLength: 200 }),
        anyPolicy,
        (good, fakes, policy) => {
          floods += fakes.length;
          const flood = fakes.map((agoMs, index) => entryAt(agoMs, { ...OK, backup: `fake-${index}` }));
          const left = new Set(kept([...good, ...flood], policy));
          for (const { backup, instant } of good) {
            const ageMs = NOW.getTime() - Date.parse(instant);
            if (ageMs < (policy.minAgeMs ?? 0)) expect(left).toContain(backup);
          }
          // Fakes of the future change no verdict at all.
          const ahead = flood.filter(({ instant }) => Date.parse(instant) > NOW.getTime());
          const names = (list: readonly string[]) => list.filter((name) => !name.startsWith('fake')).sort();
          expect(names(kept([...good, ...ahead], policy))).toEqual(names(kept(good, policy)));
        },
      ),
      { numRuns: CASES },
    );
    told(CASES, `floods, ${floods} fake backups`);
  });

  it('keeps what a plain reading of the rules keeps', () => {
    // The model judges each backup by itself: how many newer ones, or periods with one, are there?
    fc.assert(
      fc.property(anyEntries(), anyPolicy, (entries, policy) => {
        const sound = entries.filter(({ verified }) => verified?.verdict !== 'FAILED');
        const left = new Set(kept(entries, policy));
        const zone = policy.timezone ?? 'UTC';
        for (const list of [sound, entries]) {
          for (const entry of list) {
            const ms = Date.parse(entry.instant);
            const newer = list
              .filter(({ instant }) => Date.parse(instant) > ms)
              .map((one) => Date.parse(one.instant));
            const periods = {
              keepHourly: 'hour',
              keepDaily: 'day',
              keepWeekly: 'week',
              keepMonthly: 'month',
              keepYearly: 'year',
            } as const;
            const byPeriod = Object.entries(periods).some(([rule, period]) => {
              const names = newer.map((one) => periodOf(one, period, zone));
              const alone = list.filter(
                ({ instant }) => periodOf(Date.parse(instant), period, zone) === periodOf(ms, period, zone),
              );
              const newest = Math.max(...alone.map(({ instant }) => Date.parse(instant))) === ms;
              const tied = alone.filter(({ instant }) => Date.parse(instant) === ms).length > 1;
              return newest && !tied && new Set(names).size < (policy[rule as keyof typeof periods] ?? 0);
            });
            if (byPeriod) expect([entry, left.has(entry.backup)]).toEqual([entry, true]);
          }
        }
      }),
      { numRuns: 500 },
    );
    told(500, 'verdicts equal to the plain reading');
  });
});
