import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BackupContext, RestoreContext, RestoreOutcome } from '../../activities/engine.ts';
import { ycqlEngine } from '../../activities/ycql/engine.ts';
import type { DataObject, LogicalRestoreRequest, ReadPoint, RestorePlan } from '../../model/backup.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { YcqlSource } from '../../model/pipeline.ts';
import { DirectoryStore } from '../../repository/directory.ts';
import type { Store } from '../../repository/store.ts';
import { DataTally } from '../../repository/tally.ts';
import type { TestCluster } from './zoo.ts';

/* Drives the engine as the workflows do, without Temporal: so that a failure here is the engine's own. */

export interface TestRepository {
  readonly store: Store;
  readonly path: string;
  remove(): Promise<void>;
}

export async function createRepository(): Promise<TestRepository> {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-ycql-'));
  return { store: new DirectoryStore(path), path, remove: () => rm(path, { recursive: true, force: true }) };
}

export function ycqlSource(cluster: TestCluster, changes: Partial<YcqlSource> = {}): YcqlSource {
  return {
    engine: 'ycql',
    contactPoints: cluster.contactPoints,
    port: cluster.port,
    keyspaces: { include: [], exclude: [] },
    tables: { include: [], exclude: [] },
    contents: 'all',
    globals: 'none',
    consistency: 'scan',
    consistencyLevel: 'LOCAL_QUORUM',
    writeTimes: 'auto',
    load: { inFlightPerNode: 8, pageRows: 500 },
    chunkBytes: 100_000,
    ...changes,
  };
}

export interface TestBackup {
  readonly source: YcqlSource;
  readonly context: BackupContext;
  readonly manifest: Manifest;
  readonly objects: readonly DataObject[];
  readonly readPoint: ReadPoint;
}

export function backupContext(
  repository: TestRepository,
  changes: Partial<BackupContext> = {},
): BackupContext {
  const backup = `b${randomBytes(4).toString('hex')}`;
  return {
    signal: new AbortController().signal,
    attempt: 1,
    heartbeat: () => undefined,
    log: () => undefined,
    secret: (reference) => Promise.resolve('env' in reference ? (process.env[reference.env] ?? '') : ''),
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

/** A whole backup; `meanwhile` runs after the first chunk. */
export async function takeBackup(
  repository: TestRepository,
  source: YcqlSource,
  meanwhile: () => Promise<void> = () => Promise.resolve(),
  changes: Partial<BackupContext> = {},
): Promise<TestBackup> {
  const context = backupContext(repository, changes);
  await ycqlEngine.flush(context, source, { waitMs: 30_000 });
  const { readPoint } = await ycqlEngine.openReadPoint(context, source, 1);
  const exported = await ycqlEngine.export(context, source, readPoint);
  const objects: DataObject[] = [];
  for (const [index, chunk] of exported.chunks.entries()) {
    objects.push(...(await ycqlEngine.upload(context, source, readPoint, chunk, { zstdLevel: 1 })));
    if (index === 0) await meanwhile();
  }
  const sealed = await ycqlEngine.seal(context, source, readPoint, exported);
  const tally = new DataTally();
  for (const object of objects) tally.add(object);
  const databases = tally.countedDatabases(sealed.databases);
  const manifest: Manifest = {
    formatVersion: 1,
    plan: context.ref.plan,
    backup: context.ref.backup,
    engine: 'ycql',
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
  };
  return { source, context, manifest, objects, readPoint };
}

/** A restore of `backup` with `changes` of the request. */
export function restoreContext(
  backup: TestBackup,
  changes: Partial<LogicalRestoreRequest> = {},
  context: Partial<RestoreContext> = {},
): RestoreContext {
  const request: LogicalRestoreRequest = {
    restore: `r${randomBytes(4).toString('hex')}`,
    from: backup.context.ref,
    source: backup.source,
    into: {},
    replace: false,
    tables: { include: [], exclude: [] },
    contents: 'all',
    globals: false,
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

/** Every part of the restore, each called twice, since a worker may die after the work and before its report. */
export async function runRestore(
  context: RestoreContext,
): Promise<RestoreOutcome & { readonly plan: RestorePlan }> {
  const { restore } = ycqlEngine;
  const twice = async (work: (attempt: RestoreContext) => Promise<unknown>) => {
    await work(context);
    await work({ ...context, attempt: 2 });
  };
  const plan = await restore.plan(context);
  await twice((attempt) => restore.prepare(attempt));
  for (let task = 0; task < plan.tasks; task += 1) await twice((attempt) => restore.load(attempt, task));
  for (const [wave, units] of plan.postDataWaves.entries()) {
    for (let unit = 0; unit < units; unit += 1)
      await twice((attempt) => restore.postData(attempt, wave, unit, units));
  }
  const outcome = await restore.finish(context);
  await restore.finish(context);
  return { ...outcome, plan };
}
