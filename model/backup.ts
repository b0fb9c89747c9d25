import type { Lsn } from './archive.ts';
import type { ArchiveCheck } from './archive-check.ts';
import type { CarriedHistory } from './carried-history.ts';
import type { Assertion, DrillRecord } from './drill.ts';
import type { Audience } from './notification.ts';
import type { Pipeline } from './pipeline.ts';
import type { ReplayWish } from './replay.ts';
import type { LogicalSource, NamePatterns, RepositorySpec, SecretRef, Source } from './source.ts';
import type { ObjectEntry } from './stored-object.ts';
import type { NodeInspection } from './tablets.ts';
import type { Verdict } from './verdict.ts';

export type { ObjectEntry } from './stored-object.ts';
export type { Verdict } from './verdict.ts';

/** Names one backup in one repository. Its objects live under `backups/<plan>/<backup>/`. */
export interface BackupRef {
  readonly repository: RepositorySpec;
  readonly plan: string;
  /** e.g. `20261123T034813Z-ab12cd`: sorts by time, unique. */
  readonly backup: string;
}

/** What every later step reads at: one consistent instant, or a `scan`, which has none. */
export type ReadPoint =
  | {
      readonly kind: 'yb-read-time';
      readonly epoch: number;
      /** Microseconds since 1970 as a decimal string (above 2^53). Any session on any worker can read at this instant again. */
      readonly micros: string;
      readonly takenAt: string;
    }
  | {
      readonly kind: 'pg-snapshot';
      /** Starts at 1. Each loss of the holder begins the next epoch. */
      readonly epoch: number;
      /** Id of the exported snapshot, by database: a snapshot of PostgreSQL is of one database only. */
      readonly snapshots: Readonly<Record<string, string>>;
      readonly takenAt: string;
      /** On YugabyteDB: why the backup could not name an instant. */
      readonly reason?: string;
      /**
       * How many tables may be locked at once; present where the server has no room for locks on all of them. The holder then locks none, and whoever
       * reads a table makes sure that it has not been changed.
       */
      readonly tablesLockedAtOnce?: number;
      /** Which transactions of an archive of changes the snapshots see. Absent on YugabyteDB, and from older versions. */
      readonly place?: SnapshotPlace;
    }
  | {
      readonly kind: 'universe-snapshot';
      readonly epoch: number;
      readonly takenAt: string;
      readonly databases: readonly DatabaseSnapshot[];
    }
  | {
      /** Not an instant: each chunk is read when its turn comes (YCQL). A change of the schema ends the epoch. */
      readonly kind: 'scan';
      readonly epoch: number;
      readonly consistencyLevel: string;
      /** When the scan began. The manifest's `scanned` says when its last row was read. */
      readonly takenAt: string;
    };

/** Decides, for each transaction of the source, whether exported snapshots see it. */
export interface SnapshotPlace {
  /** `pg_current_snapshot()` by database: `xmin:xmax:xip,…`. */
  readonly snapshotXids: Readonly<Record<string, string>>;
  /** The end of the source's WAL before the first snapshot was taken, as in model/archive.ts. */
  readonly walLsn: Lsn;
  /** The source's clock after the last snapshot was taken, ISO 8601 in UTC with microseconds. Whatever a snapshot sees had committed by then. */
  readonly seenBy: string;
}

/** A read point at which tables are read row by row. */
export type LogicalReadPoint = Exclude<ReadPoint, { readonly kind: 'universe-snapshot' }>;

/** The distributed snapshot of one database or keyspace of a universe. */
export interface DatabaseSnapshot {
  readonly database: string;
  readonly api: 'ysql' | 'ycql';
  /** Absent where the database has no tables: YugabyteDB takes no snapshot of it. */
  readonly snapshot?: string;
  /** The universe's own time of the snapshot, ISO 8601, where it reports one. */
  readonly snapshotTime?: string;
  /** Version of the catalog before the snapshot was taken. YSQL only. */
  readonly catalogVersion?: string;
  /** What the snapshot carries of the past. Only a snapshot of a schedule carries any. */
  readonly history?: CarriedHistory;
}

/** What a seal needs to know besides what lies in the backup's folder. */
export interface SealInput {
  readonly ref: BackupRef;
  readonly source: Source;
  readonly readPoint: ReadPoint;
  readonly pipelineHash: string;
  readonly startedAt: string;
}

/** Names a table. YCQL has one level of names, so there the keyspace is both database and schema. */
export interface TableId {
  readonly database: string;
  readonly schema: string;
  readonly table: string;
}

/** How a chunk's rows are stored in COPY's binary format. */
interface BinaryRowsSpec {
  /** Types of the chunk's columns, by their names in `pg_catalog`. */
  readonly types: readonly string[];
}

/** A part of one table that is read by one COPY, or by one paged SELECT. */
export interface ChunkSpec {
  /** Unique within the backup's epoch and safe in an object key, e.g. `t00012-c00003`. */
  readonly id: string;
  readonly table: TableId;
  /**
   * Quoted columns for COPY in both directions, without generated ones; empty for a table without columns. In YCQL the selected columns, and what is
   * selected of each (`writetime(…)`, `ttl(…)`).
   */
  readonly columns: readonly string[];
  readonly range:
    | { readonly kind: 'whole'; readonly condition?: string }
    /** Blocks [from, to); `to` null means to the end. */
    | { readonly kind: 'ctid'; readonly from: number; readonly to: number | null }
    /** Closed bounds 0..65535 of `yb_hash_code(<keys>)`, in YCQL of `partition_hash(<keys>)`. */
    | { readonly kind: 'hash'; readonly keys: readonly string[]; readonly from: number; readonly to: number }
    | KeyRange;
  /** Present: rows are read in COPY's binary format. Absent: as text, or as pages of CQL. */
  readonly binary?: BinaryRowsSpec;
  readonly estimatedBytes: number;
}

/**
 * The rows of a table from one key (included) to another (excluded). A bound has values for the first key columns or for all of them, as the server
 * writes them; null means the beginning or the end of the table. Where both bounds begin with equal values, their texts are equal too. The values are
 * data of rows: they are stored only in the repository's work list, never in a message, a log or a history.
 */
export interface KeyRange {
  readonly kind: 'key';
  readonly keys: readonly KeyColumn[];
  readonly from: readonly string[] | null;
  readonly to: readonly string[] | null;
}

/** A column of a key, and the operators of its order. They come from the key's own operator class, so a descending column needs no special case. */
export interface KeyColumn {
  /** Quoted. */
  readonly column: string;
  /** The type that a value is cast to, e.g. `pg_catalog.int4` or `character varying`. */
  readonly type: string;
  /** The operator for "comes before", e.g. `OPERATOR(pg_catalog.<)`; for a descending column `OPERATOR(pg_catalog.>)`. */
  readonly before: string;
  readonly equal: string;
  readonly notBefore: string;
  readonly after: string;
}

/** The work of one upload activity: one big chunk, or several small ones that together stay below a chunk's size. */
export interface TransferTask {
  /** Index among the tasks of its epoch. The manifest lists the tasks' objects in this order. */
  readonly index: number;
  readonly chunks: readonly ChunkSpec[];
}

/** Most tasks in one batch, so that the history that moves it stays small. */
export const TASKS_PER_BATCH = 500;

/** The format of rows in a data object, before zstd; docs/repository-format.md describes each. */
export type DataFormat = 'copy-text' | 'copy-binary' | 'cql-pages';

/**
 * A run of whole rows of a table, compressed by zstd. It is an object of its own, or a piece of a pack. The `key` of a piece is the pack's; its
 * `sizeBytes` and `sha256` are the piece's own.
 */
export interface DataObject extends ObjectEntry {
  /** Where the piece begins in the pack, in bytes. Absent: the object is the whole of its key. */
  readonly at?: number;
  /**
   * Names the data object among those of its backup. Present where its bytes are shared: equal rows of two tables then have one key. See
   * `dataObjectName`.
   */
  readonly part?: string;
  readonly table: TableId;
  readonly columns: readonly string[];
  readonly rows: number;
  /** Rows before compression. */
  readonly bytes: number;
  /** Absent: COPY text. */
  readonly format?: DataFormat;
  /** For `copy-binary`: the columns' types, by their names in `pg_catalog`. The format itself doesn't say them. */
  readonly types?: readonly string[];
  /** When its rows were read, if not at the read point's instant. */
  readonly readAt?: TimeInterval;
  /** YCQL: number of rows whose every cell expires. No server says whether such a row itself outlives its cells. */
  readonly expiring?: number;
  /** YCQL: number of rows that are nothing but their key, in a table with other columns. No server says when they were written or expire. */
  readonly bare?: number;
  /** Which part of the range could not be read, in words: the backup lacks it. An object may have no content but this. */
  readonly unread?: readonly string[];
}

/** A name that is unique among the data objects of a backup. */
export function dataObjectName({ key, at, part }: Pick<DataObject, 'key' | 'at' | 'part'>): string {
  if (part !== undefined) return part;
  return at === undefined ? key : `${key}@${at}`;
}

/** A stretch of time. Both ends are ISO 8601. */
export interface TimeInterval {
  readonly from: string;
  readonly to: string;
}

/** The result of an upload task: an object under `work/e<epoch>/results/` in the repository, written once. */
export interface TaskResult {
  readonly index: number;
  readonly objects: readonly DataObject[];
  /** The packs that hold the pieces among `objects`. Absent: there are none. */
  readonly packs?: readonly ObjectEntry[];
  /** Stored bytes of the shared objects that this task put, since the repository lacked them. Absent: nothing is shared. */
  readonly newBytes?: number;
}

/** What an upload activity returns into history: only counts. */
export interface TaskSummary {
  readonly index: number;
  readonly rows: number;
  readonly bytes: number;
  readonly storedBytes: number;
  readonly objects: number;
}

/** What `export` returns into history. The lists themselves are objects in the repository. */
export interface ExportSummary {
  readonly epoch: number;
  readonly shards: number;
  readonly tasks: number;
  readonly tables: number;
  readonly databases: readonly string[];
  readonly estimatedBytes: number;
  /** For a universe: how many tablet servers take part. */
  readonly nodes?: number;
}

/** What a seal returns into history. */
export interface BackupSummary {
  readonly plan: string;
  readonly backup: string;
  /** This and the next two: see `KnownRows` in `model/rows.ts`. */
  readonly rows: number | null;
  readonly rowsEstimated?: true;
  readonly tablesNotCounted?: number;
  /** Rows before compression. */
  readonly bytes: number;
  readonly storedBytes: number;
  /** As in the manifest. */
  readonly newBytes?: number;
  readonly objects: number;
  readonly tables: number;
  readonly manifestSha256: string;
  /** The first things of the source that the backup could not carry, each with its table. */
  readonly losses?: readonly string[];
  /** The first rows that could not be read, each with its table. The backup exists but is not whole. */
  readonly unread?: readonly string[];
}

/** The result of a verification. The ledger keeps it. */
export interface VerifyReport {
  readonly plan: string;
  readonly backup: string;
  readonly level: 'exists' | 'checksums' | 'content' | 'restore';
  readonly verdict: Verdict;
  readonly checkedObjects: number;
  readonly checkedBytes: number;
  /** The first problems (at most 100), each with the object or table that it concerns. */
  readonly problems: readonly string[];
  /** Level `restore`: what was compared, a clause. */
  readonly compared?: string;
  /** What could not be compared although nothing is wrong, one sentence each (at most 20). */
  readonly notes?: readonly string[];
  readonly startedAt: string;
  readonly finishedAt: string;
  /** Present where a drill made the report. */
  readonly drill?: DrillRecord;
  /** What was found in the plan's archive of changes, where the command asked for it. The ledger never has it, since it is about backups. */
  readonly archive?: ArchiveCheck;
}

/**
 * The result of a verification of level `schema`: whether the server accepts everything in the backup's schema, without rows. It says nothing of the
 * data, so the repository doesn't keep it.
 */
export interface SchemaReport {
  readonly plan: string;
  readonly backup: string;
  readonly level: 'schema';
  /** `FAILED`: the server refuses some of the schema. `INCONCLUSIVE`: the schema could not be tried. */
  readonly verdict: Verdict;
  readonly problems: readonly string[];
  readonly leftOut?: readonly LeftOut[];
  readonly startedAt: string;
  readonly finishedAt: string;
}

/** What to restore, where to, and how. */
export interface RestoreRequest extends Audience {
  /** Id of the restore, safe in a database name. */
  readonly restore: string;
  readonly from: BackupRef;
  readonly source: Source;
  /** Where to restore. Absent: to the plan's own connection. */
  readonly connection?: SecretRef;
  /** New names, by the databases' names in the backup. A database without an entry gets the default `<name>_restored_<id>`. */
  readonly into: Readonly<Record<string, string>>;
  /** True: restore beside the existing database, compare, then exchange names. The existing one is kept as `<name>_before_<id>`. */
  readonly replace: boolean;
  readonly tables: NamePatterns;
  readonly contents: 'all' | 'schema' | 'data';
  /**
   * YCQL. True: rows get the time of the restore as their write time, so they win over later writes and deletions in the target. Absent: rows keep their
   * write times, as far as the source's `writeTimes` asks for it.
   */
  readonly asNew?: boolean;
  /** The role that will own every object. Absent: objects get the owners that they had at the source. */
  readonly owner?: string;
  /**
   * Engine universe: restore to this instant, ISO 8601 in UTC to the millisecond, within the history that the backup's snapshots carry. Absent: to the
   * instant of the backup.
   */
  readonly at?: string;
  /**
   * Engine ysql, on YugabyteDB. `target`: the target's defaults decide how tables are split and colocated. `source`: as at the source. Absent: `source`.
   */
  readonly placement?: 'source' | 'target';
  /** True: first apply the roles in the backup's globals. */
  readonly globals: boolean;
  /** `rows`: compares row counts of each table with the manifest. `content`: also compares a hash of every row with the backup's objects. */
  readonly check: 'rows' | 'content';
  /** True: what the server refuses is left out and listed, as pg_restore does, and the verdict is then FAILED. Absent: all or nothing. */
  readonly tolerate?: boolean;
  /** With `tolerate`. True: a database that lacks something still gets its final name. Absent: it keeps its working name. */
  readonly takeName?: boolean;
  /** With `replace`, in a universe. True: the restore goes ahead even if it breaks replication or readers of changes; the notes name them. */
  readonly breakOthers?: boolean;
  /** Longest time to compare indexes with their tables, milliseconds. 0: they aren't compared. Absent: ten minutes with `content`, 0 with `rows`. */
  readonly indexCheckMs?: number;
  /** True: a scratch restore (level `restore`, a drill). Its databases are dropped at the end. */
  readonly scratch: boolean;
  /** For a scratch restore: assertions that are asked of the copy before it is dropped. */
  readonly assertions?: readonly Assertion[];
  readonly parallelism: number;
  /** Engine ysql: archived changes to replay after the backup's rows. Absent: none. */
  readonly replay?: ReplayWish;
  /** The backup to make of the present state before it is overwritten. Absent: none. */
  readonly safetyBackup?: { readonly backup: string; readonly pipeline: Pipeline };
}

/** A request to restore an engine that loads rows. */
export type LogicalRestoreRequest = RestoreRequest & { readonly source: LogicalSource };

/** What the planning of a restore returns into history. */
export interface RestorePlan {
  readonly databases: readonly { readonly from: string; readonly to: string }[];
  /** Number of load tasks. Every worker derives the same tasks from manifest and request. */
  readonly tasks: number;
  /**
   * Sizes of groups of tasks, in order. Tasks of one group may run at once; groups run one after another. Absent: there is one group. The last groups
   * hold rows whose loading calls functions (a generated column).
   */
  readonly loadGroups?: readonly number[];
  readonly rows: number;
  readonly bytes: number;
  readonly storedBytes: number;
  /** Number of independent units in each wave of post-data. Waves run one after another. */
  readonly postDataWaves: readonly number[];
  /**
   * All units of the first waves, the urgent ones first, if they need not wait for the end of the load. Absent if they must, and from an older worker.
   */
  readonly tableUnits?: readonly TableUnit[];
  /** The role that will own everything, where the request names none: the role that a scratch restore connects as. */
  readonly owner?: string;
  /** What the target lacks, one sentence each. Present only where the restore tolerates it. */
  readonly lacks?: readonly string[];
}

/** Names a unit of post-data by its wave and its index there. */
export interface PostDataWork {
  readonly wave: number;
  readonly unit: number;
  /** Number of units that the wave had when the restore was planned. */
  readonly units: number;
  /** Most parallel workers of the server for the unit. Absent: the server's own setting. */
  readonly helpers?: number;
}

/** A unit that needs only some tables, so it may be applied while other tables are still being loaded. */
export interface TableUnit {
  readonly wave: number;
  readonly unit: number;
  /** How many load tasks must have ended, counted from the first. */
  readonly afterTasks: number;
  /** Indexes of the table units that must have been applied before. */
  readonly afterUnits: readonly number[];
}

/** What the planning of a universe's restore returns into history. */
export interface UniverseRestorePlan {
  readonly databases: readonly {
    readonly from: string;
    readonly to: string;
    readonly api: 'ysql' | 'ycql';
  }[];
  /** Tablet servers that are alive, with those of read replicas. */
  readonly nodes: readonly string[];
  readonly tablets: number;
  readonly rows: number;
  /** Bytes of all files, counting each file once. */
  readonly bytes: number;
  readonly storedBytes: number;
  /** About how many free bytes each node needs for its replicas. */
  readonly bytesPerNode: number;
  /** What each node's agent must compare with its node, by address. Absent from an earlier version. */
  readonly inspections?: Readonly<Record<string, NodeInspection>>;
}

/** Where the files of a restore belong, by one look at the universe. */
export interface FillPlan {
  readonly shards: number;
  /** Number of pairs of tablet and node. */
  readonly pairs: number;
  readonly bytes: number;
  /** Equal for two looks that found the same. */
  readonly fingerprint: string;
}

/** Something that a restore did not bring back, or not as it was. */
export interface LeftOut {
  /** As pg_dump calls it, e.g. `FK CONSTRAINT`, `MATERIALIZED VIEW DATA`; `TABLE DATA` for rows. */
  readonly kind: string;
  /** As pg_dump calls it, with its schema, e.g. `public.orders orders_customer_fkey`. */
  readonly name: string;
  /** The server's reason. */
  readonly error: string;
  /** What the server refused; cut where it is long. */
  readonly sql: string;
  /** `selection`: it needs what was not selected. `error`: the server refused it. */
  readonly because: 'error' | 'selection';
  /** How the object exists nevertheless: a foreign key or check that old rows break is made for new rows only. Absent: the object doesn't exist. */
  readonly instead?: 'NOT VALID';
}

/** Most entries in a restore's list of what it left out, so that the list fits into a history. */
export const LEFT_OUT_LISTED = 200;

/** How a restore ended. */
export interface RestoreSummary {
  readonly plan: string;
  readonly backup: string;
  readonly restore: string;
  readonly databases: readonly { readonly from: string; readonly to: string; readonly kept?: string }[];
  /** This and the next: see `KnownRows` in `model/rows.ts`. */
  readonly rows: number | null;
  readonly tablesNotCounted?: number;
  readonly bytes: number;
  readonly tables: number;
  readonly verdict: Verdict;
  readonly problems: readonly string[];
  /** At most `LEFT_OUT_LISTED` entries. Absent: nothing was left out. */
  readonly leftOut?: readonly LeftOut[];
  /** How many entries the list leaves out. */
  readonly leftOutMore?: number;
  /** What the verdict compared, a clause. Absent from an older worker. */
  readonly compared?: string;
  /** What the operator should know although nothing is wrong, one sentence each. */
  readonly notes?: readonly string[];
  /** Id of the backup that was made of what the restore overwrote. */
  readonly safetyBackup?: string;
  /** For a scratch restore with assertions. `verdict` and `problems` include theirs. */
  readonly drill?: DrillRecord;
}

/** The restore that is made where the caller wishes nothing else: everything, under its own names, compared by counts. */
export const PLAIN_RESTORE = {
  into: {},
  replace: false,
  tables: { include: [], exclude: [] },
  contents: 'all',
  globals: false,
  check: 'rows',
} as const satisfies Partial<RestoreRequest>;
