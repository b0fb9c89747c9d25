import { type ArchiveInterval, microsOfIso, type StoredSegment, type Timeline } from '../model/archive.ts';
import type { StoredProof } from '../model/archive-proof.ts';
import type { SnapshotPlace } from '../model/backup.ts';
import type { ArchiveChain } from '../model/replay.ts';
import { parseTransactionSnapshot } from '../model/transaction-snapshot.ts';
import { soundUntil } from './archive-proofs.ts';

/*
 * Which segments of an archive lead from a backup to an instant. Pure. What the base holds is decided transaction by transaction when
 * they are replayed; here it only matters that no transaction which the base lacks stands before the first segment.
 */

/** An interval of a timeline through which a chain may lead. */
interface ChainCandidate {
  readonly timeline: Timeline;
  readonly interval: ArchiveInterval;
  /** Of the timeline. */
  readonly proofs?: readonly StoredProof[] | undefined;
}

/** Why a base can't be the begin of a replay, a clause. */
interface NoChain {
  readonly reason: string;
}

/**
 * A transaction that has written its commit becomes visible a moment later, so segments from so long before the base are read too. What
 * the base has of them is left out by its snapshot.
 */
const OVERLAP_MICROS = 600_000_000;

/** Behind the cut, segments are read until so long after the base, to be sure that the base holds nothing later than the cut. */
const DOUBT_MICROS = 60_000_000;

/**
 * The chain from the base at `place` through `interval` of `timeline`.
 *
 * @param place of the base; undefined where it states none
 */
export function chainFrom(
  { timeline, interval, proofs = [] }: ChainCandidate,
  place: SnapshotPlace | undefined,
): ArchiveChain | NoChain {
  const xids = place?.snapshotXids[timeline.database];
  if (place === undefined || xids === undefined) {
    return { reason: 'the backup does not say which transactions it holds' };
  }
  const seenBy = microsOfIso(place.seenBy);
  if (interval.toMicros < seenBy) return { reason: 'the archive ends before the backup' };
  if (interval.startLsn > place.walLsn) return { reason: 'the archive begins after the backup' };
  const { xmin } = parseTransactionSnapshot(xids);
  const isFromStart = interval.startLsn === timeline.startLsn;
  if (isFromStart && xmin < parseTransactionSnapshot(timeline.snapshotXids).xmax) {
    return { reason: 'transactions that were open when the archive began were open during the backup too' };
  }
  if (!isFromStart && interval.fromMicros > seenBy - OVERLAP_MICROS) {
    return { reason: 'what is left of the archive begins too shortly before the backup' };
  }
  const until = soundUntil(seenBy, proofs);
  if (until === undefined) return { reason: 'a proof has refuted the changes after the backup' };
  const first = interval.segments.findIndex(
    ({ endLsn, maxCommitMicros }) => endLsn > place.walLsn || maxCommitMicros >= seenBy - OVERLAP_MICROS,
  );
  return {
    timeline: timeline.id,
    fromMicros: seenBy,
    toMicros: Math.min(interval.toMicros, until),
    segments: first < 0 ? [] : interval.segments.slice(first),
  };
}

/**
 * Of the chains from the base at `place`, one for each interval of the database's timelines, the one that leads furthest. Where there is
 * none, every reason against them, each once.
 */
export function furthestChain(
  database: string,
  candidates: readonly ChainCandidate[],
  place: SnapshotPlace | undefined,
): ArchiveChain | NoChain {
  let furthest: ArchiveChain | undefined;
  const reasons = new Set<string>();
  for (const candidate of candidates) {
    const chain = chainFrom(candidate, place);
    if ('reason' in chain) reasons.add(chain.reason);
    else if (furthest === undefined || chain.toMicros > furthest.toMicros) furthest = chain;
  }
  if (furthest !== undefined) return furthest;
  return {
    reason:
      reasons.size === 0
        ? `no changes of database ${database} are archived`
        : `of database ${database}, ${[...reasons].join('; ')}`,
  };
}

/** The part of the chain that a replay to the instant reads. */
export function segmentsTo(
  { segments, fromMicros }: ArchiveChain,
  instantMicros: number,
): readonly StoredSegment[] {
  const end = Math.max(instantMicros, fromMicros + DOUBT_MICROS);
  const last = segments.findIndex(({ maxCommitMicros }) => maxCommitMicros > end);
  return last < 0 ? segments : segments.slice(0, last + 1);
}
