import { Cut, sightOf } from '../../../engines/ysql/archive/cut.ts';
import { decodeMessage } from '../../../engines/ysql/archive/messages.ts';
import { withKeyMarked } from '../../../engines/ysql/archive/relation-keys.ts';
import {
  isoOfMicros,
  lsnOf,
  type StoredSegment,
  type StoredTimeline,
  type Timeline,
} from '../../../model/archive.ts';
import { endOfInstant, microsOfHybridTime, wholeMicrosBefore } from '../../../model/hybrid-time.ts';
import { basePlace } from '../../../planning/archive/base-place.ts';
import { chainFrom } from '../../../planning/archive/chain.ts';
import { archiveWindow } from '../../../planning/archive/window.ts';
import * as write from './pgoutput.ts';

/* An archive whose positions are hybrid times. Nothing here needs a server. */

const T = 1_796_000_000_000_000n;
const at = (micros: bigint, counter = 0n) => ((T + micros) << 12n) + counter;

const TIMELINE: Timeline = {
  formatVersion: 1,
  id: 't',
  plan: 'orders',
  database: 'shop',
  systemIdentifier: '7',
  databaseOid: 1,
  slot: 's',
  plugin: 'yboutput',
  positions: 'hybrid-time',
  publication: 'p',
  serverVersion: '15.12-YB-2026.1.0.0-b0',
  tables: [],
  notArchived: [],
  startLsn: lsnOf(at(0n) + 1n),
  createdAt: isoOfMicros(Number(T) + 1),
  schemaFingerprint: 'f',
};

/** Segments from one position to the next, each ending behind a commit. */
function storedOf(...commits: readonly bigint[]): StoredTimeline {
  const segments = commits.map((commit, index): StoredSegment => {
    const micros = Number(microsOfHybridTime(commit));
    return {
      key: `s${index}`,
      sizeBytes: 1,
      startLsn: index === 0 ? TIMELINE.startLsn : lsnOf((commits[index - 1] ?? 0n) + 1n),
      endLsn: lsnOf(commit + 1n),
      minCommitMicros: micros,
      maxCommitMicros: micros,
      sha256Start: '0'.repeat(16),
      isInParts: false,
    };
  });
  return { timeline: TIMELINE, segments };
}

const baseAt = (micros: bigint) =>
  basePlace(
    { kind: 'yb-read-time', epoch: 1, micros: String(T + micros), takenAt: '2026-11-30T00:00:00.000Z' },
    ['shop'],
  );

const begin = (commitLsn: bigint) =>
  ({ kind: 'begin', xid: 3, commitLsn, commitMicros: microsOfHybridTime(commitLsn) }) as const;

test('an instant is a cut: its microsecond begins with counter 0, and what a read of it does not see comes behind', () => {
  expect(endOfInstant(5n)).toBe((5n << 12n) + 1n);
  expect(microsOfHybridTime((5n << 12n) + 4_095n)).toBe(5n);
  // Of microsecond 5 more may come, so that only what lies before it is whole.
  expect(wholeMicrosBefore((5n << 12n) + 7n)).toBe(4n);
  expect(wholeMicrosBefore(6n << 12n)).toBe(5n);
});

test('the window ends before the microsecond of the last commit, in which another transaction may commit', () => {
  const { intervals } = archiveWindow('shop', [storedOf(at(100n), at(250n, 3n))]);
  expect(intervals).toHaveLength(1);
  expect(intervals[0]?.toMicros).toBe(Number(T) + 249);
});

test('a base meets the stream at its instant, without an overlap and without transaction ids', () => {
  const stored = storedOf(at(100n), at(200n), at(300n));
  const [interval] = archiveWindow('shop', [stored]).intervals;
  if (interval === undefined) throw new Error('no interval');
  const chain = chainFrom({ timeline: TIMELINE, interval }, baseAt(150n));
  expect(chain).toMatchObject({ fromMicros: Number(T) + 150, toMicros: Number(T) + 299 });
  expect('segments' in chain && chain.segments.map(({ key }) => key)).toEqual(['s1', 's2']);
  // Segments before the base may be gone: nothing before it is needed.
  const [, second, third] = stored.segments;
  if (second === undefined || third === undefined) throw new Error('no segments');
  const later = { ...interval, startLsn: second.startLsn, fromMicros: 1, segments: [second, third] };
  expect(chainFrom({ timeline: TIMELINE, interval: later }, baseAt(150n))).toMatchObject({
    segments: [second, third],
  });
});

test.each<readonly [string, ReturnType<typeof baseAt>, RegExp]>([
  ['is of before the slot', baseAt(-1n), /begins after the backup/],
  ['is of after the end', baseAt(300n), /ends before the backup/],
  [
    'was read at a snapshot of PostgreSQL',
    {
      databases: ['shop'],
      seenBy: isoOfMicros(Number(T) + 150),
      walLsn: lsnOf(at(150n)),
      snapshotXids: { shop: '1:1:' },
    },
    /another kind of position/,
  ],
])('no chain leads from a base that %s', (_, place, reason) => {
  const stored = storedOf(at(100n), at(200n));
  const [interval] = archiveWindow('shop', [stored]).intervals;
  if (interval === undefined) throw new Error('no interval');
  expect(chainFrom({ timeline: TIMELINE, interval }, place)).toEqual({
    reason: expect.stringMatching(reason),
  });
});

test('no backup by hybrid time is the base of an archive of PostgreSQL', () => {
  const { positions: _, ...rest } = TIMELINE;
  const timeline: Timeline = { ...rest, snapshotXids: '1:1:' };
  const [interval] = archiveWindow('shop', [{ ...storedOf(at(100n), at(200n)), timeline }]).intervals;
  if (interval === undefined) throw new Error('no interval');
  expect(chainFrom({ timeline, interval }, baseAt(150n))).toEqual({
    reason: expect.stringMatching(/another kind of position/),
  });
});

test('what the base has and what belongs to the instant is decided by the position alone', () => {
  const place = baseAt(150n);
  if (place === undefined) throw new Error('no place');
  const cut = new Cut({
    instantMicros: T + 200n,
    sees: sightOf(place, 'shop'),
    byHybridTime: true,
    baseMicros: T + 150n,
  });
  expect(cut.decide(begin(at(100n)))).toBe('base');
  expect(cut.decide(begin(at(150n)))).toBe('base');
  // A read at the instant does not see the same microsecond's later commits.
  expect(cut.decide(begin(at(150n, 1n)))).toBe('take');
  expect(cut.decide(begin(at(200n, 4_095n)))).toBe('take');
  expect(cut.decide(begin(at(201n)))).toBe('after');
});

test('a time that the message tells otherwise than its position is not believed', () => {
  const place = baseAt(150n);
  if (place === undefined) throw new Error('no place');
  const cut = new Cut({
    instantMicros: T + 200n,
    sees: sightOf(place, 'shop'),
    byHybridTime: true,
    baseMicros: T,
  });
  expect(cut.decide({ ...begin(at(201n)), commitMicros: T })).toBe('after');
});

const COLUMNS = [{ name: 'a' }, { name: 'ünï' }, { name: 'b' }];
const keysOf = (payload: Buffer) => {
  const message = decodeMessage(payload);
  return message.kind === 'relation' && message.columns.flatMap(({ name, isKey }) => (isKey ? [name] : []));
};

test.each<readonly [string, Buffer, readonly string[]]>([
  [
    'of CHANGE that marks none gets the primary key',
    write.relation(7, 'public', 't', COLUMNS, 'c'),
    ['ünï', 'b'],
  ],
  [
    'of CHANGE that marks some stays as it is',
    write.relation(7, 'public', 't', [{ name: 'a', isKey: true }, { name: 'ünï' }, { name: 'b' }], 'c'),
    ['a'],
  ],
  ['of another identity stays as it is', write.relation(7, 'public', 't', COLUMNS, 'd'), []],
  ['of a table without a known key stays as it is', write.relation(7, 'public', 'other', COLUMNS, 'c'), []],
])('a Relation message %s', (_, payload, keys) => {
  const before = Buffer.from(payload);
  const amended = withKeyMarked(payload, new Map([['public.t', ['b', 'ünï']]]));
  expect(keysOf(amended)).toEqual(keys);
  expect(payload).toEqual(before);
  expect(amended.length).toBe(payload.length);
});
