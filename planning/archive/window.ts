import {
  type ArchiveHole,
  type ArchiveInterval,
  type ArchiveWindow,
  isoOfMicros,
  microsOfIso,
  positionOf,
  type StoredSegment,
  type StoredTimeline,
} from '../../model/archive.ts';
import { wholeMicrosBefore } from '../../model/hybrid-time.ts';

/**
 * What an archive holds without a gap, from listings alone. Two intervals are joined only where the next segment's name begins where the
 * one before ends (C2 of the archive's invariants, docs/repository-format.md).
 */
export function archiveWindow(database: string, timelines: readonly StoredTimeline[]): ArchiveWindow {
  const intervals: ArchiveInterval[] = [];
  const holes: ArchiveHole[] = [];
  for (const [index, stored] of timelines.entries()) {
    const found = intervalsOf(stored);
    for (const [position, interval] of found.entries()) {
      const before = intervals.at(-1);
      const isFirst = position === 0;
      if (before !== undefined && (!isFirst || index > 0)) {
        const why = isFirst ? reasonBetween(timelines[index - 1], stored) : missingSegments(before, interval);
        // The source's clock may have been put back between the two.
        const toMicros = Math.max(before.toMicros, interval.fromMicros);
        holes.push({ fromMicros: before.toMicros, toMicros, ...why });
      }
      intervals.push(interval);
    }
  }
  const last = timelines.at(-1);
  const newest = intervals.at(-1);
  if (last?.end !== undefined) {
    holes.push({
      fromMicros: newest?.toMicros ?? microsOfIso(last.timeline.createdAt),
      code: last.end.code,
      reason: last.end.reason,
    });
  }
  return { database, intervals, holes };
}

/** The chain of a timeline, cut where a segment is missing. A timeline without a segment is one interval of no length. */
function intervalsOf({ timeline, segments, end }: StoredTimeline): readonly ArchiveInterval[] {
  const created = microsOfIso(timeline.createdAt);
  const intervals: ArchiveInterval[] = [];
  const sound = end === undefined ? segments : segments.filter(({ endLsn }) => endLsn <= end.lsn);
  for (const chain of chainsOf(sound)) {
    const first = chain[0];
    const last = chain.at(-1);
    if (first === undefined || last === undefined) continue;
    const isWhole = first.startLsn === timeline.startLsn;
    const fromMicros = isWhole ? created : first.minCommitMicros;
    intervals.push({
      timeline: timeline.id,
      fromMicros,
      toMicros: Math.max(fromMicros, endOf(timeline, chain)),
      startLsn: first.startLsn,
      endLsn: last.endLsn,
      segments: chain,
    });
  }
  if (intervals.length > 0) return intervals;
  const { startLsn, id } = timeline;
  return [{ timeline: id, fromMicros: created, toMicros: created, startLsn, endLsn: startLsn, segments: [] }];
}

/** The last instant that the chain has whole. */
function endOf({ positions }: StoredTimeline['timeline'], chain: readonly StoredSegment[]): number {
  const last = chain.at(-1);
  if (positions === 'hybrid-time' && last !== undefined) {
    // More may commit in the microsecond of the last commit.
    return Number(wholeMicrosBefore(positionOf(last.endLsn)));
  }
  return chain.reduce((newest, { maxCommitMicros }) => Math.max(newest, maxCommitMicros), 0);
}

/**
 * Runs of segments without a gap, in order. An archiver that was taken for dead may have stored a segment beside its successor's, from
 * the same start: both hold the same transactions up to the nearer end, and the way that leads furthest is taken.
 */
export function chainsOf(segments: readonly StoredSegment[]): readonly (readonly StoredSegment[])[] {
  const furthest = new Map<string, { readonly segment: StoredSegment; readonly reach: string }>();
  const sorted = segments.toSorted((a, b) =>
    a.startLsn < b.startLsn ? 1 : a.startLsn > b.startLsn ? -1 : 0,
  );
  for (const segment of sorted) {
    const reach = furthest.get(segment.endLsn)?.reach ?? segment.endLsn;
    const known = furthest.get(segment.startLsn);
    if (known === undefined || reach > known.reach) furthest.set(segment.startLsn, { segment, reach });
  }
  const chains: StoredSegment[][] = [];
  let end = '';
  for (const { startLsn } of sorted.toReversed()) {
    const start = furthest.get(startLsn)?.segment;
    // What begins before the end of the chain so far is a second copy of a part of it.
    if (start === undefined || startLsn < end) continue;
    if (startLsn === end) {
      chains.at(-1)?.push(start);
    } else {
      chains.push([start]);
    }
    end = start.endLsn;
  }
  return chains;
}

type Why = Pick<ArchiveHole, 'code' | 'reason'>;

function reasonBetween(before: StoredTimeline | undefined, after: StoredTimeline): Why {
  if (before?.end !== undefined) return { code: before.end.code, reason: before.end.reason };
  return {
    code: 'unknown',
    reason:
      after.timeline.previous?.reason ?? 'A new timeline began, and nothing says why the one before ended.',
  };
}

function missingSegments(before: ArchiveInterval, after: ArchiveInterval): Why {
  return {
    code: 'segments-missing',
    reason: `Segments from ${before.endLsn} to ${after.startLsn} are missing in the repository (between ${isoOfMicros(before.toMicros)} and ${isoOfMicros(after.fromMicros)}).`,
  };
}
