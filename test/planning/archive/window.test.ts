import fc from 'fast-check';
import {
  isoOfMicros,
  lsnOf,
  microsOfIso,
  parseLsn,
  postgresLsn,
  type StoredSegment,
  type StoredTimeline,
  type TimelineEnd,
} from '../../../model/archive.ts';
import { archiveWindow, chainsOf } from '../../../planning/archive/window.ts';

const CREATED = '2026-11-30T03:00:00.000001Z';
const T0 = microsOfIso(CREATED);

function segment(start: number, end: number, minute = end): StoredSegment {
  const micros = T0 + minute * 60_000_000;
  return {
    key: `s-${start}-${end}`,
    sizeBytes: 10,
    startLsn: lsnOf(BigInt(start)),
    endLsn: lsnOf(BigInt(end)),
    minCommitMicros: micros - 1000,
    maxCommitMicros: micros,
    sha256Start: '0'.repeat(16),
    isInParts: false,
  };
}

function timeline(
  id: string,
  segments: readonly StoredSegment[],
  more: { start?: number; createdAt?: string; end?: TimelineEnd } = {},
): StoredTimeline {
  return {
    timeline: {
      formatVersion: 1,
      id,
      plan: 'orders',
      database: 'shop',
      systemIdentifier: '7',
      databaseOid: 16_384,
      slot: 'holdfast_x',
      plugin: 'pgoutput',
      publication: 'holdfast_x',
      serverVersion: '15.1',
      tables: [],
      notArchived: [],
      startLsn: lsnOf(BigInt(more.start ?? 0)),
      createdAt: more.createdAt ?? CREATED,
      snapshotXids: '10:10:',
      schemaFingerprint: 'f',
    },
    segments,
    ...(more.end === undefined ? {} : { end: more.end }),
  };
}

const END: TimelineEnd = {
  formatVersion: 1,
  timeline: 'a',
  lsn: lsnOf(2n),
  endedAt: '2026-11-30T03:02:00.000Z',
  code: 'source-lag',
  reason: 'The slot kept 21 GiB of WAL on the source.',
};

describe('the window of an archive', () => {
  it('is one interval where each segment begins where the one before ends, whatever the order of the listing', () => {
    const { intervals, holes } = archiveWindow('shop', [
      timeline('a', [segment(2, 3), segment(0, 1), segment(1, 2)]),
    ]);
    expect(holes).toEqual([]);
    expect(intervals).toHaveLength(1);
    expect(intervals[0]).toMatchObject({
      fromMicros: T0,
      toMicros: T0 + 180_000_000,
      startLsn: lsnOf(0n),
      endLsn: lsnOf(3n),
    });
    expect(intervals[0]?.segments.map(({ key }) => key)).toEqual(['s-0-1', 's-1-2', 's-2-3']);
  });

  it('is cut where a segment is missing, and says which positions', () => {
    const { intervals, holes } = archiveWindow('shop', [timeline('a', [segment(0, 1), segment(2, 3)])]);
    expect(intervals.map(({ startLsn, endLsn }) => [startLsn, endLsn])).toEqual([
      [lsnOf(0n), lsnOf(1n)],
      [lsnOf(2n), lsnOf(3n)],
    ]);
    expect(holes).toHaveLength(1);
    expect(holes[0]?.fromMicros).toBe(T0 + 60_000_000);
    expect(holes[0]?.reason).toContain(`from ${lsnOf(1n)} to ${lsnOf(2n)} are missing`);
  });

  it('never joins two timelines, even where their positions meet, and gives the reason of the end', () => {
    const { intervals, holes } = archiveWindow('shop', [
      timeline('a', [segment(0, 2)], { end: END }),
      timeline('b', [segment(2, 4)], { start: 2, createdAt: '2026-11-30T03:03:00.000000Z' }),
    ]);
    expect(intervals.map((each) => each.timeline)).toEqual(['a', 'b']);
    expect(holes).toEqual([
      {
        fromMicros: T0 + 120_000_000,
        toMicros: microsOfIso('2026-11-30T03:03:00.000000Z'),
        code: 'source-lag',
        reason: END.reason,
      },
    ]);
  });

  it('has no hole that ends before it begins, where the source’s clock was put back', () => {
    const { holes } = archiveWindow('shop', [
      timeline('a', [segment(0, 2)], { end: END }),
      timeline('b', [segment(2, 4)], { start: 2, createdAt: '2026-11-30T03:01:00.000000Z' }),
    ]);
    expect(holes).toMatchObject([{ fromMicros: T0 + 120_000_000, toMicros: T0 + 120_000_000 }]);
  });

  it('has an open hole after a timeline that ended last', () => {
    const { holes } = archiveWindow('shop', [timeline('a', [segment(0, 2)], { end: END })]);
    expect(holes).toEqual([{ fromMicros: T0 + 120_000_000, code: 'source-lag', reason: END.reason }]);
  });

  it('ends where the timeline’s end says, whatever was stored behind it', () => {
    const { intervals } = archiveWindow('shop', [
      timeline('a', [segment(0, 2), segment(2, 3)], { end: { ...END, code: 'schema-changed' } }),
    ]);
    expect(intervals.map(({ endLsn }) => endLsn)).toEqual([lsnOf(2n)]);
  });

  it('begins at the first commit that is left where retention dropped the oldest segments', () => {
    const { intervals, holes } = archiveWindow('shop', [timeline('a', [segment(1, 2), segment(2, 3)])]);
    expect(holes).toEqual([]);
    expect(intervals[0]?.fromMicros).toBe(segment(1, 2).minCommitMicros);
  });

  it('has an interval of no length for a timeline that stored nothing yet', () => {
    expect(archiveWindow('shop', [timeline('a', [])])).toEqual({
      database: 'shop',
      intervals: [
        {
          timeline: 'a',
          fromMicros: T0,
          toMicros: T0,
          startLsn: lsnOf(0n),
          endLsn: lsnOf(0n),
          segments: [],
        },
      ],
      holes: [],
    });
  });

  it('takes the way that leads furthest where a straggler stored a segment beside its successor’s', () => {
    const straggler = [segment(0, 1), segment(1, 5), segment(1, 2), segment(2, 6)];
    expect(chainsOf(straggler).map((chain) => chain.map(({ key }) => key))).toEqual([
      ['s-0-1', 's-1-2', 's-2-6'],
    ]);
    const other = [segment(0, 1), segment(1, 2), segment(1, 5), segment(5, 6)];
    expect(chainsOf(other).map((chain) => chain.map(({ key }) => key))).toEqual([
      ['s-0-1', 's-1-5', 's-5-6'],
    ]);
  });

  it('has as many chains as pieces, whichever segments are dropped', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 30 })), (kept) => {
        const sorted = kept.toSorted((a, b) => a - b);
        const runs = sorted.filter((start) => !kept.includes(start - 1)).length;
        const chains = chainsOf(kept.map((start) => segment(start, start + 1)));
        expect(chains).toHaveLength(runs);
        expect(chains.flat().map(({ startLsn }) => startLsn)).toEqual(
          sorted.map((start) => lsnOf(BigInt(start))),
        );
      }),
    );
  });
});

describe('positions and times', () => {
  it('translate there and back, and sort as text', () => {
    expect(parseLsn('16/B374D848')).toBe('00000016B374D848');
    expect(postgresLsn('00000016B374D848')).toBe('16/B374D848');
    expect(parseLsn('0/0')).toBe('0'.repeat(16));
    expect(postgresLsn('0'.repeat(16))).toBe('0/0');
    expect(parseLsn('nonsense')).toBeUndefined();
    expect(microsOfIso('2026-11-30T03:00:00.123456Z') % 1_000_000).toBe(123_456);
    expect(isoOfMicros(microsOfIso('2026-11-30T03:00:00.123456Z'))).toBe('2026-11-30T03:00:00.123456Z');
    expect(microsOfIso('2026-11-30T03:00:00Z') % 1_000_000).toBe(0);
  });
});
