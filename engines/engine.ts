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
import type { StoredManifest } from '../repository/backups/manifest.ts';
import type { ManifestDraft } from '../repository/backups/write-manifest.ts';
import type { Store } from '../repository/store.ts';
import type { PackWriter } from './pack-writer.ts';
import type { PutsBehind } from './puts-behind.ts';

/**
 * The contract of an engine: how one kind of source is read and written. Free of Temporal, so that it can be driven by
 * a test directly; `activities/` wraps each verb into an activity.
 *
 * Every engine has the verbs of `Engine`. One whose tables are read row by row has those of `RowEngine` besides; one whose files are moved
 * by agents has those of `TabletEngine` (tablet-engine.ts). `registry.ts` has an entry for each.
 *
 * Every method is idempotent: it may be called again after a crash at any point, on another machine, and leaves the same
 * result. Errors are `HoldfastError`s with `transient` decided here. All work stops promptly when `signal` aborts.
 * Memory is bounded: a method holds at most one chunk (compressed) and a few MiB of stream buffers.
 */
export interface Engine<S extends Source = Source> {
  readonly name: S['engine'];
  /** The same as `kindOf` (model/engine-kind.ts) answers to workflows, which see no engine. */
  readonly kind: EngineKind;

  /** Which server and databases the source means, whatever its plan calls it. Throws what reading its secrets throws. */
  identify(source: S, secret: VerbContext['secret']): Promise<SourceIdentity>;

  /** For `holdfast doctor`: what a backup of this source needs, each thing looked at by itself. Changes nothing. */
  check(verb: VerbContext, source: S, options?: CheckOptions): Promise<readonly Check[]>;

  /** Brings the source to rest before the read point: waits, bounded by `waitMs`, for DDL under way to end. */
  flush(
    verb: VerbContext,
    source: S,
    options: { readonly waitMs: number },
  ): Promise<{ readonly waitedMs: number }>;

  /**
   * Pins the instant that all later verbs read. Refuses by name what the engine can't carry, before anything is written. Its epoch is
   * `firstEpoch`, plus the retries of this verb where what an attempt pinned is lost with that attempt.
   */
  openReadPoint(verb: ReadPointContext, source: S, firstEpoch: number): Promise<OpenReadPoint<ReadPoint>>;

  /**
   * Writes what belongs to the data (schemas, roles) and the list of the work, once per epoch: where the list is there already, that one
   * is described. Throws `READ_POINT_LOST` (permanent).
   */
  listWork(verb: BackupContext, source: S, readPoint: ReadPoint): Promise<ExportSummary>;

  /** After the last transfer: gathers what was moved, and reads what must be read at the end. `sealing.ts` does the rest. */
  collect(verb: BackupContext, source: S, readPoint: ReadPoint): Promise<SealingParts>;

  /** Runs one statement on the source (the `sql` step). */
  sql(verb: VerbContext, source: S, statement: string, database: string | undefined): Promise<void>;

  /**
   * Drops what an unfinished or scratch restore left behind. Never touches a database that this restore did not create, and leaves
   * what a restore that came to its end has made.
   */
  discard(verb: RestoreContext<S>): Promise<Discarded>;
}

/** An engine whose tables are read and written row by row, in chunks. `row-engine.ts` makes one of its parts. */
export interface RowEngine<S extends LogicalSource = LogicalSource> extends Engine<S> {
  readonly kind: 'rows';

  openReadPoint(verb: VerbContext, source: S, firstEpoch: number): Promise<OpenReadPoint>;

  /** Writes schema objects and cuts the tables into chunks. Tables in the order of the manifest, in which a restore loads them: largest first. */
  export(verb: BackupContext, source: S, readPoint: LogicalReadPoint): Promise<EngineExport>;

  /**
   * Streams chunks, one after another, into objects under `data/e<epoch>/`: rows, cut at row boundaries when they outgrow the chunk size, zstd,
   * SHA-256 in the key's name, conditional put; or into pieces of `verb.packs`. The objects stand in the order of their chunks. Throws `READ_POINT_LOST` when the read point is gone.
   */
  upload(
    verb: BackupContext,
    source: S,
    readPoint: LogicalReadPoint,
    chunks: readonly ChunkSpec[],
    options: { readonly zstdLevel: number },
  ): Promise<readonly DataObject[]>;

  /** After the last chunk: what must be read at the end (sequences). Same read point, still open. */
  seal(
    verb: BackupContext,
    source: S,
    readPoint: LogicalReadPoint,
    exported: EngineExport,
  ): Promise<EngineExport>;

  /**
   * What a restore without Holdfast needs, by object key: `RESTORE.md` with the exact commands, and the scripts and checksums it
   * uses. Pure; `manifest` is the draft that doesn't name these objects yet.
   */
  restoreKit(manifest: Manifest, dataObjects: readonly DataObject[]): readonly KitFile[];

  readonly restore: RestoreEngine;
}

/** What a check of a source may know besides. */
export interface CheckOptions {
  /** The universe keeps history for the plan. */
  readonly history: boolean;
  /** The plan archives changes. */
  readonly archive?: { readonly plan: string; readonly policy: ArchivePolicy };
  /** Who polls for a tablet server; undefined where that can't be known. */
  readonly agentsOf: (address: string) => Promise<readonly AgentPoller[] | undefined>;
}

/** What an engine gives to the sealing of a backup, besides what `sealing.ts` knows itself. */
export interface SealingParts {
  /** What the manifest says of source and data, but for the data objects themselves. */
  readonly description: Pick<
    Manifest,
    'server' | 'contents' | 'databases' | 'commonObjects' | 'packs' | 'scanned' | 'universe'
  >;
  /** What a restore without Holdfast needs. Pure; `draft` doesn't name these objects yet. */
  kit(draft: ManifestDraft): readonly KitFile[];
  /** Writes the lists of the data and then the manifest, last and once. Throws where an object is missing. */
  writeManifest(draft: ManifestDraft): Promise<StoredManifest>;
}

/** What became of a restore that was given up. */
export interface Discarded {
  /** What stands though it was dropped, a sentence each; empty where nothing of it is left. */
  readonly stands: readonly string[];
  /** Names of what this engine can't drop. */
  readonly left?: readonly string[];
}

/** The source of a plan as the engine that reads it knows it. */
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
   * Replays the archived changes that the request wants into `database` (its name at the source), after post-data; goes on where an
   * earlier attempt came to. Absent: this engine has no archive of changes.
   */
  replay?(verb: RestoreContext, database: string): Promise<ReplayReport>;
  /** Sequences, ANALYZE, comparison with the manifest, swap of names when replacing, bookkeeping removed. */
  finish(verb: RestoreContext): Promise<RestoreOutcome>;
  /** Restores can leave out what the server refuses, where the request says `tolerate`. */
  readonly tolerates?: true;
  /** What the target server lacks of what the backup needs. Changes nothing. Absent: this engine can't say. */
  lacks?(verb: RestoreContext): Promise<TargetLacks>;
  /**
   * Creates the backup's schema without rows in scratch databases of the target server, and drops them. The outcome lists what the server
   * refuses. The request must be one of a scratch restore: `scratch`, with contents `schema`, and `tolerate`. Absent: it can't be tried.
   */
  trySchema?(verb: RestoreContext): Promise<RestoreOutcome>;
  /** Removes the bookkeeping of a restore that ended without all that the backup holds, and is kept all the same. Absent: none is. */
  release?(verb: RestoreContext): Promise<void>;
  /**
   * Answers a statement of an assertion on the restored copy of `database` (by its name at the source; absent, the first),
   * read-only: at most `MAX_ANSWER_ROWS` + 1 rows, values as the server writes them. Throws `ASSERTION_OBJECT_MISSING`
   * (permanent) where the copy lacks what the statement names. Absent: copies of this engine can't be asked.
   */
  ask?(verb: RestoreContext, database: string | undefined, statement: string): Promise<AnswerRows>;
  /**
   * Drops what an unfinished or scratch restore left behind. Never touches a database that this restore did not create, and leaves
   * what a restore that came to its end has made. Returns what stands, a sentence each; empty where nothing of it is left.
   */
  discard(verb: RestoreContext): Promise<readonly string[]>;
}

/** What a server lacks of what the selected parts of a backup need, by name. */
export interface TargetLacks {
  readonly roles: readonly string[];
  /** Extensions that are not installed on the server, so that no database can have them. */
  readonly extensions: readonly string[];
}

export type AnswerRows = readonly (readonly (string | null)[])[];

/** More rows than any assertion may list. */
export const MAX_ANSWER_ROWS = 1_000;

/** The restored copy lacks a table, a column, a function …: that is an answer. */
export const ASSERTION_OBJECT_MISSING = 'ASSERTION_OBJECT_MISSING';

export interface RestoreOutcome {
  readonly databases: readonly { readonly from: string; readonly to: string; readonly kept?: string }[];
  /** This and the next: see `KnownRows` in `model/rows.ts`. */
  readonly rows: number | null;
  readonly tablesNotCounted?: number;
  readonly tables: number;
  /** Of what was restored, before compression; absent where the engine doesn't select. */
  readonly bytes?: number;
  /** Empty when everything equals the manifest; else each difference by table. */
  readonly problems: readonly string[];
  /** Everything that was left out. */
  readonly leftOut?: readonly LeftOut[];
  /** What was compared, in a clause: "content of 12 tables, 30 indexes". */
  readonly compared?: string;
  /** There was not one table to compare, so that nothing is known: the verdict is INCONCLUSIVE. */
  readonly comparedNothing?: true | undefined;
  /** Rows may be missing, and the backup doesn't say whether they are (a note names the tables): the verdict is INCONCLUSIVE. */
  readonly unclear?: true | undefined;
  /** What the operator should know though nothing is wrong, a sentence each. */
  readonly notes?: readonly string[];
}

/** What every verb gets. */
export interface VerbContext {
  readonly signal: AbortSignal;
  /** 1 for the first try. */
  readonly attempt: number;
  /**
   * Reports how far the verb is. Cheap: call it wherever there is something new to report. A verb needs no rhythm of its own: whoever runs
   * it shows that it is alive (`activities/run-activity.ts` beats with the last progress through the longest quiet step).
   */
  heartbeat(progress?: object): void;
  log(message: string, fields?: Readonly<Record<string, unknown>>): void;
  /** Reads a secret where this worker has it; throws `SECRET_MISSING` (permanent) naming the reference, never a value. */
  secret(reference: SecretRef): Promise<string>;
}

export interface ReadPointContext extends VerbContext {
  /**
   * Opens the repository of the backup, for engines that note there what they pin in the source. A process that only holds read points
   * may have no credentials of it, so nobody else calls it.
   */
  backup(): Promise<BackupContext>;
}

export interface BackupContext extends VerbContext {
  readonly ref: BackupRef;
  /** The repository's store; keys of this backup start with `folder`. */
  readonly store: Store;
  /** `backups/<plan>/<backup>/` */
  readonly folder: string;
  /** Present while a task is uploaded: who gives it waits for these puts before the task is noted as done. Absent: nothing is put behind. */
  readonly puts?: PutsBehind;
  /** Present while a task of several chunks is uploaded: takes their small parts. An engine that reads no packs leaves it alone. */
  readonly packs?: PackWriter;
}

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

export interface OpenReadPoint<P extends ReadPoint = LogicalReadPoint> {
  readonly readPoint: P;
  /** Present when the read point lives only as long as a session of ours: rejects when that session is lost. */
  readonly held?: { readonly lost: Promise<never>; close(): Promise<void> };
}

/** What export and seal leave: everything the manifest needs except the data objects. */
export interface EngineExport {
  readonly server: Manifest['server'];
  readonly databases: readonly ManifestDatabase[];
  readonly commonObjects: readonly ObjectEntry[];
  readonly chunks: readonly ChunkSpec[];
}
