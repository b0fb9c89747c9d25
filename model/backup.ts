import type { Lsn } from './archive.ts';
import type { ArchiveCheck } from './archive-check.ts';
import type { CarriedHistory } from './carried-history.ts';
import type { Assertion, DrillRecord } from './drill.ts';
import type { Pipeline } from './pipeline.ts';
import type { ReplayWish } from './replay.ts';
import type { LogicalSource, NamePatterns, RepositorySpec, SecretRef, Source } from './source.ts';
import type { ObjectEntry } from './stored-object.ts';
import type { NodeInspection } from './tablets.ts';
import type { Verdict } from './verdict.ts';

export type { ObjectEntry } from './stored-object.ts';
export type { Verdict } from './verdict.ts';

/** Names one backup in one repository. Objects of it live under `backups/<plan>/<backup>/`. */
export interface BackupRef {
  readonly repository: RepositorySpec;
  readonly plan: string;
  /** e.g. `20261123T034813Z-ab12cd`: sorts by time, unique. */
  readonly backup: string;
}

/** What every later step reads: one consistent instant, or a `scan`, which has none. */
export type ReadPoint =
  | {
      readonly kind: 'yb-read-time';
      readonly epoch: number;
      /** Microseconds since 1970 as a decimal string (above 2^53). Any session on any worker can name it again. */
      readonly micros: string;
      readonly takenAt: string;
    }
  | {
      readonly kind: 'pg-snapshot';
      /** Starts at 1; each loss of the holder begins the next. */
      readonly epoch: number;
      /** Exported snapshot by database: PostgreSQL's snapshots do not cross databases. */
      readonly snapshots: Readonly<Record<string, string>>;
      readonly takenAt: string;
      /** On YugabyteDB: why no instant was named. */
      readonly reason?: string;
      /**
       * Present where the tables are more than the server has room for locks: so many may be locked at once. The holder locks none, and
       * whoever reads a table makes sure that it is what it was.
       */
      readonly tablesLockedAtOnce?: number;
      /** Where the snapshots stand among the transactions of an archive of changes. Absent from older versions, and on YugabyteDB. */
      readonly place?: SnapshotPlace;
    }
  | {
      readonly kind: 'universe-snapshot';
      readonly epoch: number;
      readonly takenAt: string;
      readonly databases: readonly DatabaseSnapshot[];
    }
  | {
      /** No instant: each chunk is read when its turn comes (YCQL). A change of the schema ends the epoch. */
      readonly kind: 'scan';
      readonly epoch: number;
      readonly consistencyLevel: string;
      /** The begin of the scan; the manifest's `scanned` says when its last row was read. */
      readonly takenAt: string;
    };

/** What decides for any transaction of the source whether exported snapshots see it. */
export interface SnapshotPlace {
  /** `pg_current_snapshot()` by database: `xmin:xmax:xip,…`. */
  readonly snapshotXids: Readonly<Record<string, string>>;
  /** The end of the source's WAL before the first snapshot was taken, as in model/archive.ts. */
  readonly walLsn: Lsn;
  /** The source's clock after the last snapshot was taken, ISO 8601 in UTC with microseconds: what the snapshots see had committed by then. */
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
  /** Version of the catalog before the snapshot was taken; YSQL only. */
  readonly catalogVersion?: string;
  /** Of a schedule's own snapshot: what of the past it carries besides its own instant. */
  readonly history?: CarriedHistory;
}

/** What a backup is sealed from, besides what lies in its folder. */
export interface SealInput {
  readonly ref: BackupRef;
  readonly source: Source;
  readonly readPoint: ReadPoint;
  readonly pipelineHash: string;
  readonly startedAt: string;
}

/** In YCQL, which has one level of names, the keyspace is both database and schema. */
export interface TableId {
  readonly database: string;
  readonly schema: string;
  readonly table: string;
}

/** A part of one table that is read by one COPY, or by one paged SELECT. */
interface BinaryRowsSpec {
  /** Of the chunk's columns, by their names in `pg_catalog`. */
  readonly types: readonly string[];
}

export interface ChunkSpec {
  /** Unique in the backup's epoch, safe in an object key, e.g. `t00012-c00003`. */
  readonly id: string;
  readonly table: TableId;
  /**
   * Quoted columns for COPY in both directions, without generated ones; empty for a table without columns. In YCQL the selected columns,
   * and what is selected of each (`writetime(…)`, `ttl(…)`).
   */
  readonly columns: readonly string[];
  readonly range:
    | { readonly kind: 'whole'; readonly condition?: string }
    /** Blocks [from, to); `to` null means to the end. */
    | { readonly kind: 'ctid'; readonly from: number; readonly to: number | null }
    /** Closed bounds 0..65535 of `yb_hash_code(<keys>)`, in YCQL of `partition_hash(<keys>)`. */
    | { readonly kind: 'hash'; readonly keys: readonly string[]; readonly from: number; readonly to: number }
    | KeyRange;
  /** Rows are read in COPY's binary format; absent: as text, or as pages of CQL. */
  readonly binary?: BinaryRowsSpec;
  readonly estimatedBytes: number;
}

/**
 * The rows from one place of a table's key (included) to another (not included). A place holds values for the first key columns or for
 * all of them, as the server writes them; null is the beginning or the end of the table. Where both places begin with equal values, the
 * texts are equal too. The values are data of rows: they are stored in the repository's work list only, never in a message, a log or a
 * history.
 */
export interface KeyRange {
  readonly kind: 'key';
  readonly keys: readonly KeyColumn[];
  readonly from: readonly string[] | null;
  readonly to: readonly string[] | null;
}

/** A column of a key, and the operators of its order. They are those of the key's own operator class, so a descending column needs no case of its own. */
export interface KeyColumn {
  /** Quoted. */
  readonly column: string;
  /** What a value is cast to, e.g. `pg_catalog.int4` or `character varying`. */
  readonly type: string;
  /** e.g. `OPERATOR(pg_catalog.<)`; for a descending column `OPERATOR(pg_catalog.>)`. */
  readonly before: string;
  readonly equal: string;
  readonly notBefore: string;
  readonly after: string;
}

/** What one upload activity does: one big chunk, or several small ones that together stay below a chunk's size. */
export interface TransferTask {
  /** Index among the tasks of its epoch; its rows stand at this place in the manifest. */
  readonly index: number;
  readonly chunks: readonly ChunkSpec[];
}

/** At most this many tasks in one batch, so that the history that moves it stays small. */
export const TASKS_PER_BATCH = 500;

/** How rows stand in a data object, before zstd; docs/repository-format.md describes each. */
export type DataFormat = 'copy-text' | 'copy-binary' | 'cql-pages';

/**
 * A run of whole rows of a table, zstd compressed. It is an object by itself, or a piece of a pack: then `key` is the pack's, and `sizeBytes` and
 * `sha256` are the piece's own.
 */
export interface DataObject extends ObjectEntry {
  /** Where the piece begins in the pack's contents, bytes. Absent: it is the whole of its key. */
  readonly at?: number;
  readonly table: TableId;
  readonly columns: readonly string[];
  readonly rows: number;
  /** Rows before compression. */
  readonly bytes: number;
  /** Absent: COPY text. */
  readonly format?: DataFormat;
  /** Of `copy-binary`, which says nothing of them itself: the columns' types, by their names in `pg_catalog`. */
  readonly types?: readonly string[];
  /** When its rows were read, where that is not the read point's instant. */
  readonly readAt?: TimeInterval;
  /** YCQL: rows of which every cell expires. No server says whether such a row itself stays after that. */
  readonly expiring?: number;
  /** What of the range could not be read, in words: the backup lacks it. An object may hold nothing but this. */
  readonly unread?: readonly string[];
}

/** A name of a data object that no other of its backup has. */
export function dataObjectName({ key, at }: Pick<DataObject, 'key' | 'at'>): string {
  return at === undefined ? key : `${key}@${at}`;
}

/** Two times, ISO 8601. */
export interface TimeInterval {
  readonly from: string;
  readonly to: string;
}

/** What an upload task leaves in the repository under `work/e<epoch>/results/`, written once. */
export interface TaskResult {
  readonly index: number;
  readonly objects: readonly DataObject[];
  /** The packs that hold those of the objects that are pieces. Absent: there are none. */
  readonly packs?: readonly ObjectEntry[];
}

/** What an upload activity returns into history: counts only. */
export interface TaskSummary {
  readonly index: number;
  readonly rows: number;
  readonly bytes: number;
  readonly storedBytes: number;
  readonly objects: number;
}

/** What `export` returns into history; the lists themselves are objects in the repository. */
export interface ExportSummary {
  readonly epoch: number;
  readonly shards: number;
  readonly tasks: number;
  readonly tables: number;
  readonly databases: readonly string[];
  readonly estimatedBytes: number;
  /** Of a universe: how many tablet servers take part. */
  readonly nodes?: number;
}

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
  readonly objects: number;
  readonly tables: number;
  readonly manifestSha256: string;
  /** The first things of the source that the backup could not carry, by table. */
  readonly losses?: readonly string[];
  /** The first rows that could not be read, by table. The backup exists and is not whole. */
  readonly unread?: readonly string[];
}

export interface VerifyReport {
  readonly plan: string;
  readonly backup: string;
  readonly level: 'exists' | 'checksums' | 'content' | 'restore';
  readonly verdict: Verdict;
  readonly checkedObjects: number;
  readonly checkedBytes: number;
  /** The first problems found (at most 100), each naming the object or table. */
  readonly problems: readonly string[];
  /** Level `restore`: what was compared, in a clause. */
  readonly compared?: string;
  /** What could not be compared though nothing is wrong, a sentence each (at most 20). */
  readonly notes?: readonly string[];
  readonly startedAt: string;
  readonly finishedAt: string;
  /** Present when a drill made it. */
  readonly drill?: DrillRecord;
  /** What was found in the plan's archive of changes, where the command asked for it; never in the ledger, which is about backups. */
  readonly archive?: ArchiveCheck;
}

/**
 * What a verification of level `schema` found: whether this server takes everything that the backup's schema holds, without rows. It
 * says nothing of the data, so it isn't put into the repository.
 */
export interface SchemaReport {
  readonly plan: string;
  readonly backup: string;
  readonly level: 'schema';
  /** `FAILED`: the server refuses some of it. `INCONCLUSIVE`: it could not be tried. */
  readonly verdict: Verdict;
  readonly problems: readonly string[];
  readonly leftOut?: readonly LeftOut[];
  readonly startedAt: string;
  readonly finishedAt: string;
}

export interface RestoreRequest {
  /** Id of the restore, safe in a database name. */
  readonly restore: string;
  readonly from: BackupRef;
  readonly source: Source;
  /** Where to restore; absent, the plan's own connection. */
  readonly connection?: SecretRef;
  /** New name by database of the backup; a database absent here gets the default `<name>_restored_<id>`. */
  readonly into: Readonly<Record<string, string>>;
  /** Restore beside, check, then swap names with the existing database, which is kept as `<name>_before_<id>`. */
  readonly replace: boolean;
  readonly tables: NamePatterns;
  readonly contents: 'all' | 'schema' | 'data';
  /**
   * YCQL. True: rows get the time of the restore as their time of writing, so they win over later writes and deletions in the target.
   * Absent: they keep the times of the backup, as far as the source's `writeTimes` asks for it.
   */
  readonly asNew?: boolean;
  /** Every object belongs to this role instead of its owner at the source. */
  readonly owner?: string;
  /**
   * Engine universe: restore to this instant, ISO 8601 in UTC to the millisecond, within the history that the backup's snapshots carry. Absent: to the
   * instant of the backup.
   */
  readonly at?: string;
  /**
   * Engine ysql, on YugabyteDB. `target`: the target's own defaults decide how tables are split and colocated. `source`: as at the source.
   * Absent: `source`.
   */
  readonly placement?: 'source' | 'target';
  /** Apply roles from the backup's globals first. */
  readonly globals: boolean;
  /** `rows`: counts per table against the manifest; `content`: also a hash of every row against the backup's objects. */
  readonly check: 'rows' | 'content';
  /**
   * True: what the server refuses is left out and listed, as pg_restore does; the verdict is FAILED then. Absent: all or nothing.
   */
  readonly tolerate?: boolean;
  /** With `tolerate`. True: a database that lacks something still gets its final name. Absent: it keeps its working name. */
  readonly takeName?: boolean;
  /** With `replace`, in a universe: replication and readers of changes that this breaks are no reason to refuse it; the notes name them. */
  readonly breakOthers?: boolean;
  /** Longest time for comparing indexes with their tables, milliseconds; 0: no comparison. Absent: ten minutes with `content`, 0 with `rows`. */
  readonly indexCheckMs?: number;
  /** A scratch restore (verify level `restore`): the databases are dropped at the end. */
  readonly scratch: boolean;
  /** For a scratch restore: the assertions that the copy must answer before it is dropped. */
  readonly assertions?: readonly Assertion[];
  readonly parallelism: number;
  /** Engine ysql: changes from the archive that are replayed after the backup's rows. Absent: none. */
  readonly replay?: ReplayWish;
  /** The backup to make of what is there before it is overwritten. Absent: none. */
  readonly safetyBackup?: { readonly backup: string; readonly pipeline: Pipeline };
}

/** A restore whose rows are loaded one by one. */
export type LogicalRestoreRequest = RestoreRequest & { readonly source: LogicalSource };

/** What planning a restore returns into history. */
export interface RestorePlan {
  readonly databases: readonly { readonly from: string; readonly to: string }[];
  /** Number of load tasks. Every worker derives the same tasks from manifest and request. */
  readonly tasks: number;
  /**
   * Sizes of groups of tasks, in order; tasks of one group may run at once, and groups run one after another. Absent: one group. The last
   * groups hold rows that call functions when they are loaded (a generated column).
   */
  readonly loadGroups?: readonly number[];
  readonly rows: number;
  readonly bytes: number;
  readonly storedBytes: number;
  /** Number of independent units in each wave of post-data; waves run one after another. */
  readonly postDataWaves: readonly number[];
  /**
   * All units of the first waves, the urgent ones first, where they need not wait for the end of the load. Absent where they must wait, and
   * from an older worker.
   */
  readonly tableUnits?: readonly TableUnit[];
  /** The role to which everything is given, where the request named none: the connecting role of a scratch restore. */
  readonly owner?: string;
  /** What the target lacks, one sentence each; present only where that is tolerated. */
  readonly lacks?: readonly string[];
}

/** Names a unit of post-data by its wave and its index there. */
export interface PostDataWork {
  readonly wave: number;
  readonly unit: number;
  /** Number of units that the wave was planned to have. */
  readonly units: number;
  /** At most this many parallel workers of the server for the unit. Absent: the server's own setting. */
  readonly helpers?: number;
}

/** A unit that needs some tables only, so it may be applied while other tables are still being loaded. */
export interface TableUnit {
  readonly wave: number;
  readonly unit: number;
  /** The number of load tasks, counted from the first, that must have ended. */
  readonly afterTasks: number;
  /** Indexes of the table units that must have been applied. */
  readonly afterUnits: readonly number[];
}

/** What planning the restore of a universe returns into history. */
export interface UniverseRestorePlan {
  readonly databases: readonly {
    readonly from: string;
    readonly to: string;
    readonly api: 'ysql' | 'ycql';
  }[];
  /** Tablet servers that are alive, read replicas included. */
  readonly nodes: readonly string[];
  readonly tablets: number;
  readonly rows: number;
  /** Bytes of all files, each counted once. */
  readonly bytes: number;
  readonly storedBytes: number;
  /** About how many bytes each node needs free for its replicas. */
  readonly bytesPerNode: number;
  /** What each node's agent compares itself with, by address; absent from an earlier version. */
  readonly inspections?: Readonly<Record<string, NodeInspection>>;
}

/** Where the files of a restore belong, as one look at the universe found it. */
export interface FillPlan {
  readonly shards: number;
  /** Pairs of tablet and node. */
  readonly pairs: number;
  readonly bytes: number;
  /** Two looks that found the same have equal values here. */
  readonly fingerprint: string;
}

/** What a restore did not bring back, or not as it was. */
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
  /** In which form it exists nevertheless: a foreign key or check that old rows break is made for new rows only. Absent: it doesn't exist. */
  readonly instead?: 'NOT VALID';
}

/** What the end of a restore lists at most, so that it fits into a history. */
export const LEFT_OUT_LISTED = 200;

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
  /** Absent where nothing was left out; at most `LEFT_OUT_LISTED`. */
  readonly leftOut?: readonly LeftOut[];
  /** How many more were left out than are listed. */
  readonly leftOutMore?: number;
  /** What the verdict compares, in a clause. Absent: an older worker's. */
  readonly compared?: string;
  /** What the operator should know though nothing is wrong, a sentence each. */
  readonly notes?: readonly string[];
  /** The backup that was made of what was overwritten. */
  readonly safetyBackup?: string;
  /** Of a scratch restore with assertions: `verdict` and `problems` count them. */
  readonly drill?: DrillRecord;
}

/** What a restore does where its caller wishes nothing else: everything, under the names that it had, compared by counts. */
export const PLAIN_RESTORE = {
  into: {},
  replace: false,
  tables: { include: [], exclude: [] },
  contents: 'all',
  globals: false,
  check: 'rows',
} as const satisfies Partial<RestoreRequest>;
