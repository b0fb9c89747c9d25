import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {
  BackupContext,
  EngineExport,
  RestoreContext,
  RestoreEngine,
  RestoreOutcome,
  RowEngine,
} from '../../engines/engine.ts';
import { packTasks } from '../../engines/pack-tasks.ts';
import { uploadTask } from '../../engines/upload-task.ts';
import {
  type DataObject,
  type LogicalReadPoint,
  type LogicalRestoreRequest,
  type ObjectEntry,
  PLAIN_RESTORE,
  type RestorePlan,
} from '../../model/backup.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { LogicalSource } from '../../model/pipeline.ts';
import { DataTally } from '../../repository/backups/tally.ts';
import { forEachBounded } from '../../repository/bounded.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import type { Store } from '../../repository/store.ts';

/* Drives an engine as the workflows do but without Temporal, so that a failure here is the engine's own. */

export interface TestRepository {
  readonly store: Store;
  readonly path: string;
  remove(): Promise<void>;
}

/** Creates an empty repository in a temporary directory. */
export async function createRepository(): Promise<TestRepository> {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-engine-'));
  return { store: new DirectoryStore(path), path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** Returns the context of a new backup in the repository. */
export function backupContext(
  repository: TestRepository,
  changes: Pick<BackupContext, 'secret'> & Partial<BackupContext>,
): BackupContext {
  const backup = `b${randomBytes(4).toString('hex')}`;
  return {
    signal: new AbortController().signal,
    attempt: 1,
    heartbeat: () => undefined,
    log: () => undefined,
    store: repository.store,
    folder: `backups/zoo/${backup}/`,
    ref: {
      repository: { name: 'test', location: { kind: 'directory', path: repository.path } },
      plan: 'zoo',
      backup,
    },
    ...changes,
  };
}

export interface TestBackup<S extends LogicalSource> {
  readonly source: S;
  readonly context: BackupContext;
  readonly manifest: Manifest;
  readonly objects: readonly DataObject[];
  readonly readPoint: LogicalReadPoint;
}

/** What a test does while a backup runs. */
export interface Meanwhile {
  /** Called between the read point and the export. */
  readonly afterReadPoint?: () => Promise<unknown>;
  readonly afterFirstChunk?: () => Promise<unknown>;
}

/** Runs a whole backup. */
export async function runBackup<S extends LogicalSource>(
  engine: RowEngine<S>,
  context: BackupContext,
  source: S,
  { afterReadPoint, afterFirstChunk }: Meanwhile = {},
): Promise<TestBackup<S>> {
  await engine.flush(context, source, { waitMs: 30_000 });
  const { readPoint, held } = await engine.openReadPoint(context, source, 1);
  try {
    await afterReadPoint?.();
    const exported = await engine.export(context, source, readPoint);
    const objects: DataObject[] = [];
    const packs: ObjectEntry[] = [];
    const uploading = afterFirstChunk === undefined ? engine : withBreak(engine, afterFirstChunk);
    const tasks = packTasks(exported.chunks, source.chunkBytes);
    for (const task of tasks.toSorted((one, other) => one.index - other.index)) {
      const sent = await uploadTask(uploading, context, source, readPoint, task, { zstdLevel: 1 });
      objects.push(...sent.objects);
      packs.push(...(sent.packs ?? []));
    }
    const sealed = await engine.seal(context, source, readPoint, exported);
    const manifest = manifestOf(context, source, readPoint, sealed, objects, packs);
    return { source, context, manifest, objects, readPoint };
  } finally {
    await held?.close();
  }
}

/** Uploads chunk by chunk, and calls `afterFirstChunk` after the first of them. */
function withBreak<S extends LogicalSource>(
  engine: RowEngine<S>,
  afterFirstChunk: () => Promise<unknown>,
): Pick<RowEngine<S>, 'upload'> {
  let uploads = 0;
  return {
    upload: async (verb, source, readPoint, chunks, options) => {
      const objects: DataObject[] = [];
      for (const chunk of chunks) {
        objects.push(...(await engine.upload(verb, source, readPoint, [chunk], options)));
        uploads += 1;
        if (uploads === 1) await afterFirstChunk();
      }
      return objects;
    },
  };
}

/** Returns the manifest that a seal would write. */
export function manifestOf(
  { ref }: BackupContext,
  source: LogicalSource,
  readPoint: LogicalReadPoint,
  sealed: EngineExport,
  objects: readonly DataObject[],
  packs: readonly ObjectEntry[] = [],
): Manifest {
  const tally = new DataTally();
  for (const object of objects) tally.add(object);
  const databases = tally.countedDatabases(sealed.databases);
  return {
    formatVersion: packs.length === 0 ? 1 : 2,
    plan: ref.plan,
    backup: ref.backup,
    engine: source.engine,
    pipelineHash: 'test',
    writtenBy: { holdfast: 'test', host: 'test' },
    startedAt: readPoint.takenAt,
    completedAt: readPoint.takenAt,
    server: sealed.server,
    readPoint,
    contents: source.contents,
    databases,
    commonObjects: sealed.commonObjects,
    totals: tally.totals(databases, []),
    data: { inline: objects },
    ...(packs.length === 0 ? {} : { packs }),
  };
}

/** Returns the context for a restore of `backup`, with `changes` to the request and to the context. */
export function restoreContext(
  backup: TestBackup<LogicalSource>,
  changes: Partial<LogicalRestoreRequest>,
  context: Partial<RestoreContext> = {},
): RestoreContext {
  const request: LogicalRestoreRequest = {
    restore: `r${randomBytes(4).toString('hex')}`,
    from: backup.context.ref,
    source: backup.source,
    ...PLAIN_RESTORE,
    check: 'content',
    scratch: false,
    parallelism: 2,
    ...changes,
  };
  return {
    ...backup.context,
    request,
    manifest: backup.manifest,
    dataObjects: () => Promise.resolve(backup.objects),
    ...context,
  };
}

/** Runs every part of a restore. Calls each twice, since a worker may die after the work and before its report. */
export async function runRestore(
  { restore }: { readonly restore: RestoreEngine },
  context: RestoreContext,
): Promise<RestoreOutcome & { readonly plan: RestorePlan }> {
  const twice = async <T>(work: (attempt: RestoreContext) => Promise<T>): Promise<T> => {
    const result = await work(context);
    await work({ ...context, attempt: 2 });
    return result;
  };
  const plan = await restore.plan(context);
  await twice((attempt) => restore.prepare(attempt));
  for (let task = 0; task < plan.tasks; task += 1) await twice((attempt) => restore.load(attempt, task));
  for (const [wave, units] of plan.postDataWaves.entries()) {
    await forEachBounded(Array(units).keys(), context.request.parallelism, (unit) =>
      twice((attempt) => restore.postData(attempt, { wave, unit, units })),
    );
  }
  if (context.request.replay !== undefined) {
    for (const { name } of context.manifest.databases) {
      await twice(async (attempt) => restore.replay?.(attempt, name));
    }
  }
  return { ...(await twice((attempt) => restore.finish(attempt))), plan };
}
