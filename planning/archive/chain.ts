import { type ArchiveInterval, microsOfIso, type StoredSegment, type Timeline } from '../../model/archive.ts';
import type { StoredProof } from '../../model/archive-proof.ts';
import type { ArchiveChain } from '../../model/replay.ts';
import { parseTransactionSnapshot } from '../../model/transaction-snapshot.ts';
import type { BasePlace } from './base-place.ts';
import { soundUntil } from './proofs.ts';

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
  place: BasePlace | undefined,
): ArchiveChain | NoChain {
  if (place?.databases.includes(timeline.database) !== true) {
    return { reason: 'the backup does not say which transactions it holds' };
  }
  const seenBy = microsOfIso(place.seenBy);
  if (interval.toMicros < seenBy) return { reason: 'the archive ends before the backup' };
  // Positions and transaction numbers of another server say nothing: a new one begins with low ones. A server that took another's place began later.
  const beginsLater = microsOfIso(timeline.createdAt) > seenBy || interval.startLsn > place.walLsn;
  if (beginsLater) return { reason: 'the archive begins after the backup' };
  const obstacle = obstacleOf({ timeline, interval }, place);
  if (obstacle !== undefined) return { reason: obstacle };
  const until = soundUntil(seenBy, proofs);
  if (until === undefined) return { reason: 'a proof has refuted the changes after the backup' };
  // What a hybrid-time base holds is a beginning of the stream: nothing before it is read.
  const overlapsFrom =
    timeline.positions === 'hybrid-time' ? Number.POSITIVE_INFINITY : seenBy - OVERLAP_MICROS;
  const first = interval.segments.findIndex(
    ({ endLsn, maxCommitMicros }) => endLsn > place.walLsn || maxCommitMicros >= overlapsFrom,
  );
  return {
    timeline: timeline.id,
    fromMicros: seenBy,
    toMicros: Math.min(interval.toMicros, until),
    segments: first < 0 ? [] : interval.segments.slice(first),
  };
}

/** Whether what the base holds can be told apart from what it doesn't, transaction by transaction. Returns why not, a clause. */
function obstacleOf({ timeline, interval }: ChainCandidate, place: BasePlace): string | undefined {
  const byHybridTime = timeline.positions === 'hybrid-time';
  if (byHybridTime !== (place.snapshotXids === undefined)) {
    return 'the backup was read at another kind of position than the archive has, so it is of another server';
  }
  if (byHybridTime) return undefined;
  const [xids, began] = [place.snapshotXids?.[timeline.database], timeline.snapshotXids];
  if (xids === undefined || began === undefined) {
    return 'backup or archive does not say which transactions were open';
  }
  const isFromStart = interval.startLsn === timeline.startLsn;
  if (isFromStart && parseTransactionSnapshot(xids).xmin < parseTransactionSnapshot(began).xmax) {
    return 'transactions that were open when the archive began were open during the backup too';
  }
  if (!isFromStart && interval.fromMicros > microsOfIso(place.seenBy) - OVERLAP_MICROS) {
    return 'what is left of the archive begins too shortly before the backup';
  }
  return undefined;
}

/**
 * Of the chains from the base at `place`, one for each interval of the database's timelines, the one that leads furthest. Where there is
 * none, every reason against them, each once.
 */
export function furthestChain(
  database: string,
  candidates: readonly ChainCandidate[],
  place: BasePlace | undefined,
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
