import fc from 'fast-check';
import { lsnOf } from '../../model/archive.ts';
import type {
  CatalogueEntry,
  RecoveryDecision,
  RecoveryRequest,
  RecoverySource,
} from '../../model/recovery.ts';
import type { ArchiveChain } from '../../model/replay.ts';
import { decisionLines } from '../../planning/recovery/decision-text.ts';
import { planRecovery, recoveryWindow } from '../../planning/recovery/plan.ts';
import { standingOf } from '../../planning/standing.ts';
import { anyEntries, DAY_MS, entryAt, FAILED, HOUR_MS, NOW, OK, told } from './catalogue-samples.ts';

const CASES = 3_000;

const TODAY = entryAt(HOUR_MS, OK);
const DAMAGED = entryAt(2 * HOUR_MS, FAILED);
const YESTERDAY = entryAt(DAY_MS, OK);
const FIRST = entryAt(30 * DAY_MS);
const SOURCES: readonly RecoverySource[] = [{ kind: 'backups', entries: [TODAY, DAMAGED, YESTERDAY, FIRST] }];

function plan(request: RecoveryRequest, sources = SOURCES): RecoveryDecision {
  return planRecovery(sources, request, { now: NOW });
}

/** Of segments of twelve hours. */
function chainOf(from: string, to: string): ArchiveChain {
  const [fromMicros, toMicros] = [Date.parse(from) * 1000, Date.parse(to) * 1000];
  const step = 12 * HOUR_MS * 1000;
  const segments = Array.from({ length: 4 }, (_, at) => ({
    key: `s${at}`,
    sizeBytes: 100,
    startLsn: lsnOf(BigInt(at)),
    endLsn: lsnOf(BigInt(at + 1)),
    minCommitMicros: fromMicros + (at - 1) * step,
    maxCommitMicros: Math.min(toMicros, fromMicros + at * step),
    sha256Start: '0'.repeat(16),
    isInParts: false,
  }));
  return { timeline: 't1', fromMicros, toMicros, segments };
}

describe('the way to an instant', () => {
  it('is the newest backup where no instant is asked for, one with damage passed over and said', () => {
    expect(plan({})).toMatchObject({ kind: 'restore', way: 'backup', backup: TODAY.backup, notes: [] });
    const entries = [entryAt(0, FAILED), YESTERDAY];
    expect(plan({}, [{ kind: 'backups', entries }])).toMatchObject({
      backup: YESTERDAY.backup,
      lost: { from: YESTERDAY.instant, to: NOW.toISOString(), durationMs: DAY_MS },
      notes: [expect.stringMatching(/is passed over: its verification of .* found damage/)],
    });
  });

  it('is never by itself what a restore was about to overwrite', () => {
    const safety = entryAt(0, { kind: 'safety' });
    const sources = [{ kind: 'backups', entries: [safety, YESTERDAY] }] as const;
    expect(plan({}, sources)).toMatchObject({
      backup: YESTERDAY.backup,
      notes: [expect.stringMatching(/is passed over: it holds what a restore overwrote/)],
    });
    expect(plan({ backup: safety.backup }, sources)).toMatchObject({ backup: safety.backup });
    expect(plan({ to: safety.instant }, sources)).toMatchObject({ backup: safety.backup });
    expect(plan({}, [{ kind: 'backups', entries: [safety] }])).toMatchObject({ backup: safety.backup });
  });

  it('says that a backup lacks rows, which is no success either', () => {
    const lacking = entryAt(0, { isIncomplete: true });
    const sources = [{ kind: 'backups', entries: [lacking, YESTERDAY] }] as const;
    expect(plan({ backup: lacking.backup }, sources)).toMatchObject({
      notes: expect.arrayContaining([expect.stringMatching(/lacks rows that could not be read/)]),
    });
    const catalogue = {
      ...{ plan: 'orders', repository: 'main', unusable: 0, total: 2, readAt: NOW.toISOString() },
      entries: [lacking, YESTERDAY],
    };
    expect(standingOf(catalogue)).toMatchObject({
      newest: { backup: lacking.backup },
      lastSuccessMs: Date.parse(YESTERDAY.completedAt),
    });
  });

  it('is a backup of exactly that instant, however the instant is written', () => {
    for (const to of [
      '2026-11-23T12:00:00Z',
      '2026-11-23 12:00:00.000Z',
      '2026-11-23t13:00+01:00',
      '2026-11-23T06:30:00-0530',
      '-1d',
      '-24h',
    ]) {
      expect([to, plan({ to })]).toMatchObject([to, { kind: 'restore', backup: YESTERDAY.backup }]);
    }
  });

  it('is refused between two instants with both, unless the nearest before will do', () => {
    const to = new Date(NOW.getTime() - 3 * HOUR_MS).toISOString();
    expect(plan({ to })).toMatchObject({
      kind: 'refused',
      code: 'INSTANT_NOT_EXACT',
      before: YESTERDAY.instant,
      after: TODAY.instant,
      notes: [expect.stringContaining(`${DAMAGED.backup} (${DAMAGED.instant}) is passed over`)],
    });
    expect(plan({ to, nearest: 'before' })).toMatchObject({
      kind: 'restore',
      backup: YESTERDAY.backup,
      why: expect.stringContaining('is 21 h 00 min earlier'),
    });
  });

  it.each([
    ['a local time', { to: '2026-11-23T12:00:00' }, 'BAD_INSTANT', /no time zone/],
    ['a day', { to: '2026-11-23' }, 'BAD_INSTANT', /no time zone/],
    ['a day that is none', { to: '2026-02-31T00:00:00Z' }, 'BAD_INSTANT', /not an instant/],
    ['an hour that is none', { to: '2026-02-01T25:00:00Z' }, 'BAD_INSTANT', /not an instant/],
    ['a word', { to: 'yesterday' }, 'BAD_INSTANT', /not an instant/],
    ['a moment beyond all calendars', { to: '-999999999d' }, 'BAD_INSTANT', /not an instant/],
    ['the future', { to: '2027-01-01T00:00:00Z' }, 'INSTANT_IN_FUTURE', /37 d 12 h in the future/],
    [
      'a time before the first backup',
      { to: '2020-01-01T00:00:00Z' },
      'INSTANT_TOO_EARLY',
      /before the first/,
    ],
    ['an unknown backup', { backup: 'nope' }, 'BACKUP_NOT_FOUND', /no backup nope/],
    ['two choices', { backup: TODAY.backup, to: '-1d' }, 'BAD_REQUEST', /both/],
    ['a damaged one by its instant', { to: DAMAGED.instant }, 'INSTANT_NOT_EXACT', /nothing holds/],
  ] as const)('refuses %s with a reason and a remedy', (_what, request, code, reason) => {
    expect(plan(request)).toMatchObject({
      kind: 'refused',
      code,
      reason: expect.stringMatching(reason),
      remedy: expect.stringMatching(/\.$/),
    });
  });

  it('says what a backup is worth: damaged but named, never verified, marked, schema alone', () => {
    expect(plan({ backup: DAMAGED.backup })).toMatchObject({
      backup: DAMAGED.backup,
      notes: [expect.stringMatching(/may not restore/)],
    });
    const marked = { at: NOW.toISOString(), deleteAfter: '2026-11-25T12:00:00.000Z' };
    const entries = [entryAt(HOUR_MS, { marked, contents: 'schema' }), YESTERDAY];
    const sources = [{ kind: 'backups', entries }] as const;
    expect(plan({}, sources)).toMatchObject({
      notes: [
        expect.stringContaining(`newest before it that was found good is ${YESTERDAY.backup}`),
        expect.stringContaining('marked it for deletion after 2026-11-25'),
        'It holds the schema alone.',
      ],
    });
    expect(plan({ verified: true }, sources)).toMatchObject({
      backup: YESTERDAY.backup,
      notes: [expect.stringMatching(/no verification found it good/)],
    });
  });

  it('is refused, not guessed, where older backups were not read', () => {
    const sources = [{ kind: 'backups', entries: [TODAY], total: 2_000 }] as const;
    expect(plan({ to: '2020-01-01T00:00:00Z' }, sources)).toMatchObject({
      code: 'INSTANT_TOO_EARLY',
      reason: expect.stringMatching(/1999 older ones are not looked at/),
    });
  });

  it('costs what earlier restores took for each byte', () => {
    const drill = { verdict: 'OK', at: NOW.toISOString(), restoreMs: 4_000 } as const;
    const sources = [{ kind: 'backups', entries: [{ ...TODAY, drill }] }] as const;
    expect(plan({}, sources)).toMatchObject({
      cost: { bytes: 1_000, storedBytes: 400, rows: 10, estimatedMs: 4_000, basis: 'by one earlier restore' },
    });
    const measurements = [1_000, 9_000].map((durationMs) => ({ bytes: 1_000, durationMs }));
    expect(planRecovery(sources, {}, { now: NOW, measurements })).toMatchObject({
      cost: { estimatedMs: 4_000, basis: 'by 3 earlier restores' },
    });
    expect(plan({})).toMatchObject({ cost: { basis: expect.stringMatching(/^no restore/) } });
  });

  it('leads through a snapshot schedule or an archive of changes where these are known', () => {
    const window = { from: '2026-11-24T00:00:00.000Z', to: '2026-11-24T11:30:00.000Z' };
    const sources: readonly RecoverySource[] = [
      ...SOURCES,
      { kind: 'snapshot-schedule', schedule: 's1', ways: ['rewind', 'clone'], windows: [window] },
      {
        kind: 'archive',
        base: YESTERDAY,
        windows: [{ from: YESTERDAY.instant, to: window.to }],
        chains: { shop: chainOf(YESTERDAY.instant, window.to) },
      },
    ];
    const to = '2026-11-24T10:04:00.000Z';
    expect(plan({ to }, sources)).toMatchObject({ way: 'clone', schedule: 's1', instant: to });
    expect(plan({ to, replace: true }, sources)).toMatchObject({ way: 'rewind' });
    expect(plan({ to: '2026-11-23T20:00:00Z' }, sources)).toMatchObject({
      way: 'archive',
      backup: YESTERDAY.backup,
      archive: { segments: 2, storedBytes: 200 },
      replay: { to: '2026-11-23T20:00:00.000000Z', timelines: { shop: 't1' } },
    });
    const archived = sources.slice(0, 1).concat(sources.slice(-1));
    // Without an instant a backup is meant, as with a universe's history.
    expect(plan({}, archived)).toMatchObject({ way: 'backup', backup: TODAY.backup });
    expect(plan({ to: '2026-11-24T11:45:00Z', nearest: 'before' }, archived)).toMatchObject({
      way: 'archive',
      instant: window.to,
    });
    expect(plan({ to: '2026-11-23T20:00:00.123Z' }, archived)).toMatchObject({
      replay: { to: '2026-11-23T20:00:00.123000Z' },
    });
    expect(decisionLines(plan({ to: '2026-11-23T20:00:00Z' }, archived))).toContainEqual(
      expect.stringMatching(/^ {2}archive: 2 segments, 200 B to fetch and replay/),
    );
    expect(plan({ to: '2026-11-24T11:45:00Z' }, sources)).toMatchObject({
      code: 'INSTANT_NOT_EXACT',
      before: window.to,
    });
    expect(recoveryWindow(sources)).toEqual({
      instants: [FIRST, YESTERDAY, TODAY].map(({ instant, backup, lastGood }) => ({
        at: instant,
        backup,
        verified: lastGood !== undefined,
      })),
      ranges: [
        { from: YESTERDAY.instant, to: window.to, way: 'archive' },
        { ...window, way: 'rewind' },
        { ...window, way: 'clone' },
      ],
    });
  });

  it('says why the changes archived since a backup lead nowhere, where they would have held the instant', () => {
    const passedOver = (base: CatalogueEntry, reason: string): RecoverySource => ({
      kind: 'archive',
      base,
      windows: [],
      chains: {},
      passedOver: reason,
    });
    const sources: readonly RecoverySource[] = [
      { kind: 'backups', entries: [TODAY, YESTERDAY, FIRST] },
      passedOver(FIRST, 'of the first'),
      passedOver(YESTERDAY, 'of the second'),
    ];
    const reasons = [
      `The changes archived since ${YESTERDAY.backup} (${YESTERDAY.instant}) are passed over: of the second.`,
    ];
    const to = '2026-11-23T20:00:00Z';
    expect(plan({ to }, sources)).toMatchObject({ code: 'INSTANT_NOT_EXACT', notes: reasons });
    expect(plan({ to, nearest: 'before' }, sources)).toMatchObject({ way: 'backup', notes: reasons });
    expect(plan({ to: YESTERDAY.instant }, sources)).toMatchObject({ way: 'backup', notes: [] });
  });

  it('says why the archive has a hole at the instant', () => {
    const window = { from: YESTERDAY.instant, to: '2026-11-23T13:00:00.000Z' };
    const sources: readonly RecoverySource[] = [
      { kind: 'backups', entries: [YESTERDAY, FIRST] },
      {
        kind: 'archive',
        base: YESTERDAY,
        windows: [window],
        chains: { shop: chainOf(window.from, window.to) },
        holes: [
          {
            from: '2026-11-23T13:00:00.000400Z',
            to: '2026-11-23T14:00:00.000000Z',
            reason: 'shop: Somebody dropped it.',
          },
          { from: '2026-11-24T11:30:00.000000Z', reason: 'shop: The plan has none any more.' },
        ],
      },
    ];
    expect(plan({ to: '2026-11-23T13:30:00Z' }, sources)).toMatchObject({
      code: 'INSTANT_NOT_EXACT',
      notes: [
        'The archive of changes has nothing from 2026-11-23T13:00:00.000400Z to 2026-11-23T14:00:00.000000Z. shop: Somebody dropped it.',
      ],
    });
    expect(plan({ to: '2026-11-24T11:45:00Z' }, sources)).toMatchObject({
      notes: [
        'The archive of changes has nothing since 2026-11-24T11:30:00.000000Z. shop: The plan has none any more.',
      ],
    });
    expect(plan({ to: '2026-11-23T14:30:00Z' }, sources)).toMatchObject({ notes: [] });
  });

  it('accepts what a backup that may be trusted holds, and refuses what none holds', () => {
    const outcomes = { restore: 0, refused: 0 };
    const wanted = fc.oneof(
      fc.integer({ min: -3, max: 50 }).map((hours) => hours * HOUR_MS),
      fc.integer({ min: -DAY_MS, max: 1_000 * DAY_MS }),
    );
    const request = fc.record(
      { nearest: fc.constantFrom('before', 'exact'), verified: fc.boolean() },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(anyEntries(), wanted, request, fc.boolean(), (entries, agoMs, how, anyInstant) => {
        const ms = NOW.getTime() - agoMs;
        const to = new Date(ms).toISOString();
        const decision = planRecovery([{ kind: 'backups', entries }], anyInstant ? how : { ...how, to }, {
          now: NOW,
        });
        outcomes[decision.kind] += 1;
        // The model: a list, a filter, no planner.
        const usable = entries.filter(
          ({ verified, lastGood }) =>
            verified?.verdict !== 'FAILED' && (how.verified !== true || lastGood !== undefined),
        );
        const times = usable.map(({ instant }) => Date.parse(instant));
        const past = times.filter((time) => time <= ms);
        const before = past.length === 0 ? undefined : Math.max(...past);
        const later = times.filter((time) => time > ms);
        const after = later.length === 0 ? undefined : Math.min(...later);
        if (decision.kind === 'restore') {
          if (decision.way !== 'backup') throw new Error('there are backups alone');
          const chosen = usable.find(({ backup }) => backup === decision.backup);
          expect(chosen?.instant).toBe(decision.instant);
          const time = Date.parse(decision.instant);
          if (anyInstant) expect(time).toBe(Math.max(...times));
          else if (how.nearest === 'before') expect(time).toBe(before);
          else expect(time).toBe(ms);
          return;
        }
        if (anyInstant) expect(usable).toEqual([]);
        else if (ms <= NOW.getTime()) {
          if (how.nearest === 'before') expect(before).toBeUndefined();
          expect(times).not.toContain(ms);
        }
        if (anyInstant || usable.length === 0) return;
        expect(decision.before && Date.parse(decision.before)).toBe(before);
        expect(decision.after && Date.parse(decision.after)).toBe(after);
      }),
      { numRuns: CASES },
    );
    told(CASES, `${outcomes.restore} accepted, ${outcomes.refused} refused`);
  });
});
