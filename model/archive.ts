import type { StoredProof } from './archive-proof.ts';
import type { RepositorySpec, YsqlSource } from './source.ts';

/**
 * The archive of changes of a plan (`pointTime.archive`): what each database of it committed, in commit order, as segments in the
 * repository. See docs/archive.md and "The archive of changes" in docs/repository-format.md.
 */

/** What a plan wants of its archive. */
export interface ArchivePolicy {
  /** A segment closes at the first commit after so long. */
  readonly lagMs: number;
  /** A segment closes at the first commit after so many stored bytes. */
  readonly segmentBytes: number;
  /** How far back any second is kept. */
  readonly retentionMs: number;
  /** Once the slot keeps more than so many bytes of WAL on the source, the archive gives the slot up. */
  readonly maxSourceLagBytes: number;
}

/**
 * A position in a server's WAL as 16 upper-case hex digits, so that positions compare as text. PostgreSQL writes `0/16B3748`;
 * `lsnOf` and `postgresLsn` translate. Of YugabyteDB, a hybrid time (`hybrid-time.ts`).
 */
export type Lsn = string;

/** One range of positions without a gap, made by one slot. Another slot, server or publication begins another timeline. */
export interface Timeline {
  readonly formatVersion: 1;
  /** Sorts by the time at which it began. */
  readonly id: string;
  readonly plan: string;
  readonly database: string;
  /** `system_identifier` of `pg_control_system()`, decimal. Of YugabyteDB, the universe's UUID. */
  readonly systemIdentifier: string;
  readonly databaseOid: number;
  /** Of PostgreSQL's WAL: another one where a standby was promoted since, or the server recovered to an earlier time. Absent in what older releases wrote. */
  readonly walTimeline?: number;
  /** Name of the replication slot. */
  readonly slot: string;
  /** Name of the logical decoding plugin: `pgoutput`, or `yboutput` of YugabyteDB; protocol version 1. */
  readonly plugin: string;
  /** Positions are hybrid times (YugabyteDB): each names an instant. Absent: they are places in PostgreSQL's WAL. */
  readonly positions?: 'hybrid-time';
  /** `yb_stream_id` of the slot, by which another slot of the same name is told. Absent on PostgreSQL. */
  readonly streamId?: string;
  readonly publication: string;
  /** `server_version` of the source, such as `15.18`. */
  readonly serverVersion: string;
  /** What is archived: tables that have a replica identity, `schema.table`. */
  readonly tables: readonly ArchivedTable[];
  /** Tables of the plan whose changes are not archived, and why. */
  readonly notArchived: readonly { readonly table: string; readonly reason: string }[];
  /** Every transaction whose commit record lies at or after this position is in the segments. */
  readonly startLsn: Lsn;
  /** The source's clock when the slot was there, ISO 8601 in UTC with microseconds. */
  readonly createdAt: string;
  /**
   * `pg_current_snapshot()` taken after the slot was there, `xmin:xmax:xip,…`. Every transaction from `xmax` on commits after `startLsn`.
   * Absent where positions are hybrid times.
   */
  readonly snapshotXids?: string;
  /** Hash of the columns of all tables and of the publication; see `engines/ysql/archive/tables.ts`. */
  readonly schemaFingerprint: string;
  /** The timeline before, and why it ended. */
  readonly previous?: { readonly timeline: string; readonly reason: string };
}

export interface ArchivedTable {
  readonly table: string;
  /**
   * `default`: the primary key. `index`: the named unique index. `full`: the whole old row. `change` (YugabyteDB): the primary key, and of an
   * update the changed columns alone.
   */
  readonly identity: 'default' | 'full' | 'index' | 'change';
}

/** Why a timeline goes no further. Written once. */
export interface TimelineEnd {
  readonly formatVersion: 1;
  readonly timeline: string;
  /** Up to here the timeline can be replayed. Segments beyond it, if there are any, may hold changes of another schema. */
  readonly lsn: Lsn;
  readonly endedAt: string;
  readonly code: TimelineEndCode;
  /** One sentence. */
  readonly reason: string;
}

export type TimelineEndCode =
  /** The plan has no archive any more. */
  | 'removed'
  /** The slot kept more WAL than `maxSourceLag`. */
  | 'source-lag'
  /** The slot is gone, or the server removed WAL that it needed. */
  | 'slot-lost'
  /** The slot was moved past the archive's end by somebody else. */
  | 'gap'
  /** The address leads to another server or another database of that name. */
  | 'other-source'
  /** The plan's tables, their columns, their replica identities, their publication or an enumeration are others than before. */
  | 'schema-changed';

/** What a segment's name says. A listing sorted by name is the chain. */
export interface SegmentName {
  /** End of the segment before it, or the timeline's start. */
  readonly startLsn: Lsn;
  /** End of its last commit; of an idle segment, the position up to which there was no commit. */
  readonly endLsn: Lsn;
  /**
   * Commit times of its transactions, microseconds since 1970, by the source's clock. They don't rise with the position: a later
   * transaction may have a slightly earlier time. Of an idle segment, both are the time up to which nothing was committed.
   */
  readonly minCommitMicros: number;
  readonly maxCommitMicros: number;
  /** First 16 hex digits of the SHA-256 of the stored object. */
  readonly sha256Start: string;
  /** True: the object is a list of parts, since its one transaction is larger than a segment. */
  readonly isInParts: boolean;
}

/** A segment as a listing shows it. */
export interface StoredSegment extends SegmentName {
  readonly key: string;
  /** Of the object; of one in parts, its list alone. */
  readonly sizeBytes: number;
}

/** The first line of a segment's text. */
export interface SegmentHeader {
  readonly formatVersion: 1;
  readonly timeline: string;
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
  readonly transactions: number;
  /** Of all kinds, Relation messages that were written again included. */
  readonly messages: number;
  /** Values of sequences, read as the segment was closed: never older than its last commit. Absent where one was locked; the header before it then serves. */
  readonly sequences?: readonly {
    readonly schema: string;
    readonly name: string;
    /** Decimal; null: never used. */
    readonly lastValue: string | null;
  }[];
  /** As in `Timeline`, read with the sequences. */
  readonly schemaFingerprint?: string;
  /** The source's clock and position when these were read. */
  readonly sampledAt?: { readonly micros: number; readonly lsn: Lsn };
}

/** A timeline as a listing shows it. */
export interface StoredTimeline {
  readonly timeline: Timeline;
  readonly end?: TimelineEnd;
  /** In order of names; may hold what isn't part of the chain (see `chainOf` in planning/archive/window.ts). */
  readonly segments: readonly StoredSegment[];
  /** Absent: there are none. */
  readonly proofs?: readonly StoredProof[];
}

/** What the archive holds without a gap. Instants within it can be reached from a base backup that was made within it. */
export interface ArchiveInterval {
  readonly timeline: string;
  /** Microseconds since 1970, by the source's clock. */
  readonly fromMicros: number;
  readonly toMicros: number;
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
  readonly segments: readonly StoredSegment[];
}

/** What is missing between two intervals, or after the last. */
export interface ArchiveHole {
  readonly fromMicros: number;
  /** Absent: it lasts. */
  readonly toMicros?: number;
  readonly code: ArchiveHoleCode;
  /** One sentence. */
  readonly reason: string;
}

export type ArchiveHoleCode =
  | TimelineEndCode
  /** The repository lacks segments in the middle of a timeline. */
  | 'segments-missing'
  /** A proof found that the changes do not give the later backup. */
  | 'refuted'
  /** A timeline began, and nothing says why the one before ended. */
  | 'unknown';

export interface ArchiveWindow {
  readonly database: string;
  /** Oldest first. */
  readonly intervals: readonly ArchiveInterval[];
  readonly holes: readonly ArchiveHole[];
}

/** Everything that capturing one database asks for. */
export interface ArchiveRequest {
  readonly plan: string;
  readonly source: YsqlSource;
  readonly database: string;
  readonly repository: RepositorySpec;
  readonly policy: ArchivePolicy;
}

const LSN_PATTERN = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/;

/** @param postgres such as `16/B374D848`. Undefined where it isn't one. */
export function parseLsn(postgres: string): Lsn | undefined {
  const [, high, low] = LSN_PATTERN.exec(postgres) ?? [];
  if (high === undefined || low === undefined) return undefined;
  return `${high.padStart(8, '0')}${low.padStart(8, '0')}`.toUpperCase();
}

/** As PostgreSQL writes it. */
export function postgresLsn(lsn: Lsn): string {
  const hex = (digits: string) => Number.parseInt(digits, 16).toString(16).toUpperCase();
  return `${hex(lsn.slice(0, 8))}/${hex(lsn.slice(8))}`;
}

export function lsnOf(position: bigint): Lsn {
  return position.toString(16).padStart(16, '0').toUpperCase();
}

export function positionOf(lsn: Lsn): bigint {
  return BigInt(`0x${lsn}`);
}

/** ISO 8601 in UTC with six digits of a second. */
export function isoOfMicros(micros: number): string {
  const iso = new Date(Math.floor(micros / 1000)).toISOString();
  return `${iso.slice(0, -1)}${String(micros % 1000).padStart(3, '0')}Z`;
}

/** @param iso ISO 8601 in UTC with up to six digits of a second. */
export function microsOfIso(iso: string): number {
  const [, fraction = ''] = /\.(\d+)/.exec(iso) ?? [];
  const micros = Number(fraction.padEnd(6, '0').slice(3, 6));
  return Date.parse(iso) * 1000 + micros;
}
