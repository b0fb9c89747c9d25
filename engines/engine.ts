import type { ArchivePolicy } from '../model/archive.ts';
import type {
  BackupRef,
  ChunkSpec,
  DataObject,
  ExportSummary,
  LeftOut,
  LogicalReadPoint,
  ObjectEntry,
  PostDataWork,
  ReadPoint,
  RestorePlan,
  RestoreRequest,
} from '../model/backup.ts';
import type { Check } from '../model/check.ts';
import type { EngineKind } from '../model/engine-kind.ts';
import type { Manifest, ManifestDatabase } from '../model/manifest.ts';
import type { LogicalSource, SecretRef, Source } from '../model/pipeline.ts';
import type { ReplayReport } from '../model/replay.ts';
import type { SourceIdentity } from '../model/source-lock.ts';
import type { AgentPoller } from '../model/task-queue.ts';
import type { SpanAttributes } from '../model/trace.ts';
import type { StoredManifest } from '../repository/backups/manifest.ts';
import type { ManifestDraft } from '../repository/backups/write-manifest.ts';
import type { Store } from '../repository/store.ts';
import type { PackWriter } from './pack-writer.ts';
import type { PutsBehind } from './puts-behind.ts';
import type { SharedParts } from './shared-parts.ts';

/**
 * The contract of an engine: how one kind of source is read and written. Free of Temporal, so that a test can drive it directly; `activities/`
 * wraps each verb into an activity.
 *
 * Every engine has the verbs of `Engine`. An engine whose tables are read row by row also has those of `RowEngine`, and one whose files are moved
 * by agents those of `TabletEngine` (tablet-engine.ts). `registry.ts` has an entry for each.
 *
 * Every method is idempotent: it may be called again after a crash at any point, on another machine, and leaves the same result. Errors are
 * `HoldfastError`s with `transient` decided here. All work stops promptly when `signal` aborts. Memory is bounded: a method holds at most one chunk
 * (compressed) and a few MiB of stream buffers.
 */
export interface Engine<S extends Source = Source> {
  readonly name: S['engine'];
  /** Equals the answer of `kindOf` (model/engine-kind.ts), which workflows ask because they may not import engines. */
  readonly kind: EngineKind;

  /** Which server and databases the source means, whatever its plan calls it. Throws what reading its secrets throws. */
  identify(source: S, secret: VerbContext['secret']): Promise<SourceIdentity>;

  /** For `holdfast doctor`: checks each thing that a backup of this source needs, independently of the others. Changes nothing. */
  check(verb: VerbContext, source: S, options?: CheckOptions): Promise<readonly Check[]>;

  /** Brings the source to rest before the read point: waits, bounded by `waitMs`, for DDL under way to end. */
  flush(
    verb: VerbContext,
    source: S,
    options: { readonly waitMs: number },
  ): Promise<{ readonly waitedMs: number }>;

  /**
   * Pins the instant that all later verbs read. Refuses by name what the engine can't carry, before anything is written. The epoch is `firstEpoch`.
   * An engine whose pinned instant is lost with its attempt adds one for each retry of this verb.
   */
  openReadPoint(verb: ReadPointContext, source: S, firstEpoch: number): Promise<OpenReadPoint<ReadPoint>>;

  /**
   * Writes the schemas and roles that belong to the data, and the work list, once per epoch. If the list exists already, describes that one. Throws
   * `READ_POINT_LOST` (permanent).
   */
  listWork(verb: BackupContext, source: S, readPoint: ReadPoint): Promise<ExportSummary>;

  /** Called after the last transfer: gathers what was moved, and reads what must be read at the end. `sealing.ts` does the rest. */
  collect(verb: BackupContext, source: S, readPoint: ReadPoint): Promise<SealingParts>;

  /** Runs one statement on the source (the `sql` step). */
  sql(verb: VerbContext, source: S, statement: string, database: string | undefined): Promise<void>;

  /**
   * Drops what an unfinished or scratch restore left behind. Never touches a database that this restore did not create, and keeps what a finished
   * restore created.
   */
  discard(verb: RestoreContext<S>): Promise<Discarded>;
}

/** An engine whose tables are read and written row by row, in chunks. `row-engine.ts` builds one from its parts. */
export interface RowEngine<S extends LogicalSource = LogicalSource> extends Engine<S> {
  readonly kind: 'rows';
  /** True: an unchanged chunk gives the same bytes in every backup, so that they can be shared. */
  readonly sharesRows?: true;

  openReadPoint(verb: VerbContext, source: S, firstEpoch: number): Promise<OpenReadPoint>;

  /**
   * Writes schema objects and cuts the tables into chunks. Returns the tables in the order of the manifest, in which a restore loads them: largest
   * first.
   */
  export(verb: BackupContext, source: S, readPoint: LogicalReadPoint): Promise<EngineExport>;

  /**
   * Streams chunks, one after another, into objects under `data/e<epoch>/`, or into pieces of `verb.packs`. An object holds rows, zstd-compressed
   * and cut at a row boundary when they outgrow the chunk size. Its key contains its SHA-256, and its put is conditional. Returns the objects in
   * the order of their chunks. Throws `READ_POINT_LOST` if the read point is gone.
   */
  upload(
    verb: BackupContext,
    source: S,
    readPoint: LogicalReadPoint,
    chunks: readonly ChunkSpec[],
    options: { readonly zstdLevel: number },
  ): Promise<readonly DataObject[]>;

  /** Called after the last chunk: reads what must be read at the end (sequences), at the same read point, which is still open. */
  seal(
    verb: BackupContext,
    source: S,
    readPoint: LogicalReadPoint,
    exported: EngineExport,
  ): Promise<EngineExport>;

  /**
   * The files for a restore without Holdfast: `RESTORE.md` with the exact commands, and the scripts and checksums it uses. Pure; `manifest` is the
   * draft that doesn't name these files yet.
   */
  restoreKit(manifest: Manifest, dataObjects: readonly DataObject[]): readonly KitFile[];

  readonly restore: RestoreEngine;
}

/** What else a check of a source depends on. */
export interface CheckOptions {
  /** The universe keeps history for the plan. */
  readonly history: boolean;
  /** The plan archives changes. */
  readonly archive?: { readonly plan: string; readonly policy: ArchivePolicy };
  /** The agents that poll for the tablet server at `address`; undefined if that can't be known. */
  readonly agentsOf: (address: string) => Promise<readonly AgentPoller[] | undefined>;
}

/** What an engine contributes to the sealing of a backup; `sealing.ts` knows the rest. */
export interface SealingParts {
  /** The manifest's fields about source and data, except the data objects. */
  readonly description: Pick<
    Manifest,
    'server' | 'contents' | 'databases' | 'commonObjects' | 'packs' | 'newBytes' | 'scanned' | 'universe'
  >;
  /** The files for a restore without Holdfast. Pure; `draft` doesn't name them yet. */
  kit(draft: ManifestDraft): readonly KitFile[];
  /** Writes the lists of the data objects, and then the manifest, last and once. Throws if an object is missing. */
  writeManifest(draft: ManifestDraft): Promise<StoredManifest>;
}

/** What remains of a restore that was discarded. */
export interface Discarded {
  /** What still exists although it was to be dropped, one sentence each; empty if nothing does. */
  readonly stands: readonly string[];
  /** Names of what this engine can't drop. */
  readonly left?: readonly string[];
}

/** Narrows the source of a plan to the type of its engine. Throws a `TypeError` if it belongs to another engine. */
export function sourceOf<E extends LogicalSource['engine']>(
  source: LogicalSource,
  engine: E,
): Extract<LogicalSource, { engine: E }> {
  if (isOf(source, engine)) return source;
  throw new TypeError(`a source of engine ${source.engine} came to engine ${engine}`);
}

function isOf<E extends LogicalSource['engine']>(
  source: LogicalSource,
  engine: E,
): source is Extract<LogicalSource, { engine: E }> {
  return source.engine === engine;
}

/** The restore side. Order: plan, prepare, load (parallel), postData wave by wave (parallel), finish; discard on failure. */
export interface RestoreEngine {
  /** Checks everything that can be checked before anything is written, and says what will be done. */
  plan(verb: RestoreContext): Promise<RestorePlan>;
  /** Creates the target databases and applies pre-data, once. */
  prepare(verb: RestoreContext): Promise<void>;
  /** Loads the task's objects; each is recorded as loaded in the transaction that loads it. */
  load(verb: RestoreContext, task: number): Promise<{ readonly rows: number; readonly bytes: number }>;
  /** Applies one of the units (indexes, constraints, triggers …) that the plan counted in a wave. */
  postData(verb: RestoreContext, work: PostDataWork): Promise<void>;
  /**
   * Replays the archived changes that the request asks for into `database` (its name at the source), after post-data. Continues where an earlier
   * attempt stopped. Absent: this engine has no archive of changes.
   */
  replay?(verb: RestoreContext, database: string): Promise<ReplayReport>;
  /** Sets sequences, runs ANALYZE, compares with the manifest, exchanges names when replacing, and removes the bookkeeping. */
  finish(verb: RestoreContext): Promise<RestoreOutcome>;
  /** Present if restores can leave out what the server refuses, as a request with `tolerate` asks. */
  readonly tolerates?: true;
  /** Names what the backup needs and the target server lacks. Changes nothing. Absent: this engine can't say. */
  lacks?(verb: RestoreContext): Promise<TargetLacks>;
  /**
   * Creates the backup's schema without rows in scratch databases of the target server, and drops them. The outcome lists what the server refuses.
   * The request must have `scratch`, contents `schema`, and `tolerate`. Absent: this engine can't try a schema.
   */
  trySchema?(verb: RestoreContext): Promise<RestoreOutcome>;
  /** Removes the bookkeeping of a restore that ended incomplete and is kept anyway. Absent: this engine has no such restores. */
  release?(verb: RestoreContext): Promise<void>;
  /**
   * Answers a statement of an assertion on the restored copy of `database` (by its name at the source; absent, the first), read-only: at most
   * `MAX_ANSWER_ROWS` + 1 rows, values as the server writes them. Throws `ASSERTION_OBJECT_MISSING` (permanent) if the copy lacks what the
   * statement names. Absent: copies of this engine can't be asked.
   */
  ask?(verb: RestoreContext, database: string | undefined, statement: string): Promise<AnswerRows>;
  /**
   * Drops what an unfinished or scratch restore left behind. Never touches a database that this restore did not create, and keeps what a finished
   * restore created. Returns what still exists, one sentence each; empty if nothing of it is left.
   */
  discard(verb: RestoreContext): Promise<readonly string[]>;
}

/** What a server lacks of what the selected parts of a backup need, by name. */
export interface TargetLacks {
  readonly roles: readonly string[];
  /** Extensions that are not installed on the server, so that no database can have them. */
  readonly extensions: readonly string[];
}

/** The rows of an answer to an assertion, each with its values as text; null: SQL's NULL. */
export type AnswerRows = readonly (readonly (string | null)[])[];

/** The most rows that an assertion may list (compiler/schema/drill.ts). */
export const MAX_ANSWER_ROWS = 1_000;

/** The restored copy lacks a table, a column, a function …. That counts as an answer: the wrong one. */
export const ASSERTION_OBJECT_MISSING = 'ASSERTION_OBJECT_MISSING';

/** How a restore ended: what was restored, what was compared, and what differs. */
export interface RestoreOutcome {
  readonly databases: readonly { readonly from: string; readonly to: string; readonly kept?: string }[];
  /** This and the next: see `KnownRows` in `model/rows.ts`. */
  readonly rows: number | null;
  readonly tablesNotCounted?: number;
  readonly tables: number;
  /** Bytes restored, before compression; absent if the engine can't restore a selection. */
  readonly bytes?: number;
  /** Empty when everything equals the manifest; else each difference by table. */
  readonly problems: readonly string[];
  /** Everything that was left out. */
  readonly leftOut?: readonly LeftOut[];
  /** What was compared, in a clause: "content of 12 tables, 30 indexes". */
  readonly compared?: string;
  /** No table could be compared, so nothing is known: the verdict is INCONCLUSIVE. */
  readonly comparedNothing?: true | undefined;
  /** Rows may be missing, and the backup doesn't say whether they are (a note names the tables): the verdict is INCONCLUSIVE. */
  readonly unclear?: true | undefined;
  /** What the operator should know though nothing is wrong, a sentence each. */
  readonly notes?: readonly string[];
}

/** Tells a trace of a part of the work that has just ended. Attributes hold names and counts, never a value of a row or a statement. */
export type TellPart = (name: string, startMs: number, attributes: SpanAttributes) => void;

/** What every verb gets. */
export interface VerbContext {
  readonly signal: AbortSignal;
  /** 1 for the first try. */
  readonly attempt: number;
  /**
   * Reports how far the verb is. Cheap: call it whenever there is something new to report. It need not be called regularly: through long quiet
   * steps `activities/run-activity.ts` repeats the last progress, which shows that the verb is alive.
   */
  heartbeat(progress?: object): void;
  log(message: string, fields?: Readonly<Record<string, unknown>>): void;
  /** Absent: the verb belongs to no trace. */
  readonly tellPart?: TellPart;
  /** Reads a secret on this worker. Throws `SECRET_MISSING` (permanent), naming the reference and never a value. */
  secret(reference: SecretRef): Promise<string>;
}

/** What `openReadPoint` gets. */
export interface ReadPointContext extends VerbContext {
  /**
   * Opens the repository of the backup, for engines that note there what they pin in the source. Other engines don't call it: a process that only
   * holds read points may have no credentials for the repository.
   */
  backup(): Promise<BackupContext>;
}

/** What a verb gets that works on one backup. */
export interface BackupContext extends VerbContext {
  readonly ref: BackupRef;
  /** The repository's store; keys of this backup start with `folder`. */
  readonly store: Store;
  /** `backups/<plan>/<backup>/` */
  readonly folder: string;
  /**
   * Puts in the background, present while a task is uploaded. The caller waits for them before it notes the task as done. Absent: every put is
   * awaited.
   */
  readonly puts?: PutsBehind;
  /** Takes small parts, present while a task of several chunks is uploaded. An engine that can't read packs ignores it. */
  readonly packs?: PackWriter;
  /** Takes all parts, present while a task is uploaded whose repository shares rows. Only an engine with `sharesRows` gets it. */
  readonly shared?: SharedParts;
}

/** What a verb of the restore side gets. */
export interface RestoreContext<S extends Source = LogicalSource> extends BackupContext {
  readonly request: RestoreRequest & { readonly source: S };
  readonly manifest: Manifest;
  /** All data objects of the manifest, lists resolved and verified. */
  dataObjects(): Promise<readonly DataObject[]>;
}

/** One text object at the root of the backup's folder, to be listed in the manifest's `commonObjects`. */
export interface KitFile {
  readonly key: string;
  readonly text: string;
}

/** A read point that is open, and what holds it. */
export interface OpenReadPoint<P extends ReadPoint = LogicalReadPoint> {
  readonly readPoint: P;
  /** Present if the read point lives only as long as a session of this process. `lost` rejects when that session is lost. */
  readonly held?: { readonly lost: Promise<never>; close(): Promise<void> };
}

/** What export and seal return: everything the manifest needs except the data objects. */
export interface EngineExport {
  readonly server: Manifest['server'];
  readonly databases: readonly ManifestDatabase[];
  readonly commonObjects: readonly ObjectEntry[];
  readonly chunks: readonly ChunkSpec[];
}
