import type { Verdict } from './verdict.ts';

/**
 * A stretch of an archive of changes that was replayed from one backup to the next and compared there, table by table. Written once, beside
 * the segments. See "Proofs" in docs/archive.md.
 */
export interface ArchiveProof {
  readonly formatVersion: 1;
  readonly plan: string;
  readonly database: string;
  readonly timeline: string;
  /** The backup that was restored. */
  readonly base: string;
  /** The backup whose rows the replay had to give. */
  readonly against: string;
  /** When the snapshots of the two were taken, microseconds since 1970, by the source's clock. */
  readonly fromMicros: number;
  readonly toMicros: number;
  /** `FAILED`: the changes of the stretch do not give the later backup. */
  readonly verdict: ProofVerdict;
  /** What was compared, in a clause. */
  readonly compared: string;
  /** The first differences; empty when OK. */
  readonly problems: readonly string[];
  readonly provedAt: string;
}

export type ProofVerdict = Exclude<Verdict, 'INCONCLUSIVE'>;

/** A proof as a listing shows it. */
export interface StoredProof {
  readonly key: string;
  /** This and the next: as in `ArchiveProof`. */
  readonly fromMicros: number;
  readonly toMicros: number;
  readonly verdict: ProofVerdict;
}

/** What the next proof of a plan replays. */
export interface ProofWish {
  readonly base: string;
  readonly against: string;
  /** The instant of `against`, ISO 8601 in UTC with microseconds. */
  readonly to: string;
  /** By database of the backups. */
  readonly timelines: Readonly<Record<string, string>>;
  readonly fromMicros: number;
  readonly toMicros: number;
}

/** How a proof ended, as a drill tells it. */
export interface ProofOutcome {
  /** `INCONCLUSIVE`: it could not be made, and nothing is recorded. */
  readonly verdict: Verdict;
  readonly base: string;
  readonly against: string;
  /** The stretch, ISO 8601 in UTC. */
  readonly from: string;
  readonly to: string;
  readonly compared?: string;
  readonly problems: readonly string[];
}
