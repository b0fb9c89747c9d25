import {
  type ArchiveInterval,
  isoOfMicros,
  lsnOf,
  type StoredSegment,
  type Timeline,
} from '../../../model/archive.ts';
import type { BasePlace } from '../../../planning/archive/base-place.ts';
import { chainFrom, furthestChain, segmentsTo } from '../../../planning/archive/chain.ts';

const T0 = Date.parse('2026-11-29T00:00:00Z') * 1000;
const MINUTE = 60_000_000;

/** Minute by minute, a hundred positions each. */
function segment(minute: number): StoredSegment {
  return {
    key: `s${minute}`,
    sizeBytes: 10,
    startLsn: lsnOf(BigInt(1_000 + minute * 100)),
    endLsn: lsnOf(BigInt(1_100 + minute * 100)),
    minCommitMicros: T0 + minute * MINUTE + 1,
    maxCommitMicros: T0 + (minute + 1) * MINUTE,
    sha256Start: '0'.repeat(16),
    isInParts: false,
  };
}

const TIMELINE: Timeline = {
  formatVersion: 1,
  id: 't1',
  plan: 'orders',
  database: 'shop',
  systemIdentifier: '7',
  databaseOid: 1,
  slot: 's',
  plugin: 'pgoutput',
  publication: 'p',
  serverVersion: '15.1',
  tables: [],
  notArchived: [],
  startLsn: lsnOf(1_000n),
  createdAt: isoOfMicros(T0),
  snapshotXids: '90:100:90',
  schemaFingerprint: 'f',
};

function intervalOf(fromMinute: number, toMinute: number): ArchiveInterval {
  const segments = Array.from({ length: toMinute - fromMinute }, (_, at) => segment(fromMinute + at));
  return {
    timeline: 't1',
    fromMicros: T0 + fromMinute * MINUTE,
    toMicros: T0 + toMinute * MINUTE,
    startLsn: lsnOf(BigInt(1_000 + fromMinute * 100)),
    endLsn: lsnOf(BigInt(1_000 + toMinute * 100)),
    segments,
  };
}

/** A base in the middle of a minute. */
function baseAt(minute: number, xids = '100:120:100,110'): BasePlace {
  return {
    databases: ['shop'],
    snapshotXids: { shop: xids },
    walLsn: lsnOf(BigInt(1_050 + minute * 100)),
    seenBy: isoOfMicros(T0 + minute * MINUTE + MINUTE / 2),
  };
}

test('a chain begins well before the base, since a commit is written before it is seen', () => {
  const chain = chainFrom({ timeline: TIMELINE, interval: intervalOf(0, 60) }, baseAt(30));
  expect(chain).toMatchObject({
    timeline: 't1',
    fromMicros: T0 + 30.5 * MINUTE,
    toMicros: T0 + 60 * MINUTE,
    segments: Array.from({ length: 40 }, (_, at) => ({ key: `s${at + 20}` })),
  });
});

test('the segments of a replay end with the one that holds the first commit after the instant', () => {
  const chain = chainFrom({ timeline: TIMELINE, interval: intervalOf(0, 60) }, baseAt(30));
  if ('reason' in chain) throw new Error(chain.reason);
  expect(segmentsTo(chain, T0 + 40 * MINUTE).at(-1)).toMatchObject({ key: 's40' });
  expect(segmentsTo(chain, T0 + 60 * MINUTE).at(-1)).toMatchObject({ key: 's59' });
  // Shortly after the base it is not enough to see the cut: the base may hold what lies behind it.
  expect(segmentsTo(chain, chain.fromMicros).at(-1)).toMatchObject({ key: 's31' });
});

test.each<readonly [string, ArchiveInterval, BasePlace | undefined, RegExp]>([
  ['says nothing of its transactions', intervalOf(0, 60), undefined, /does not say which transactions/],
  ['is of another database', intervalOf(0, 60), { ...baseAt(30), databases: [] }, /does not say/],
  ['is newer than the archive', intervalOf(0, 60), baseAt(61), /ends before the backup/],
  ['is older than the archive', intervalOf(35, 60), baseAt(30), /begins after the backup/],
  [
    'is hardly newer than what retention left',
    intervalOf(29, 60),
    baseAt(30),
    /too shortly before the backup/,
  ],
  [
    'was open to transactions that the slot never saw',
    intervalOf(0, 60),
    baseAt(30, '99:120:99'),
    /were open when the archive began/,
  ],
])('no chain leads from a base that %s', (_, interval, place, reason) => {
  expect(chainFrom({ timeline: TIMELINE, interval }, place)).toEqual({
    reason: expect.stringMatching(reason),
  });
});

test('no chain leads from a base of the server that was there before, whose positions and transaction numbers were higher', () => {
  const began = T0 + 40 * MINUTE;
  const timeline = { ...TIMELINE, id: 't2', systemIdentifier: '8', createdAt: isoOfMicros(began) };
  const interval = { ...intervalOf(0, 20), fromMicros: began, toMicros: began + 20 * MINUTE };
  expect(chainFrom({ timeline, interval }, baseAt(30, '5000:5000:'))).toEqual({
    reason: 'the archive begins after the backup',
  });
});

test('of the chains from a base the furthest is taken, and where there is none every reason is given once', () => {
  const from = (...intervals: readonly ArchiveInterval[]) =>
    furthestChain(
      'shop',
      intervals.map((interval) => ({ timeline: TIMELINE, interval })),
      baseAt(30),
    );
  expect(from(intervalOf(0, 40), intervalOf(0, 60))).toMatchObject({ toMicros: T0 + 60 * MINUTE });
  expect(from(intervalOf(0, 20), intervalOf(0, 40))).toMatchObject({ toMicros: T0 + 40 * MINUTE });
  expect(from(intervalOf(0, 10), intervalOf(0, 20), intervalOf(40, 60))).toEqual({
    reason: 'of database shop, the archive ends before the backup; the archive begins after the backup',
  });
  expect(from()).toEqual({ reason: 'no changes of database shop are archived' });
});
