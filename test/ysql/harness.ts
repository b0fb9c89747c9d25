import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BackupContext, EngineExport, RestoreContext, RestoreOutcome } from '../../activities/engine.ts';
import { ysqlEngine } from '../../activities/ysql/engine.ts';
import { findExecutable } from '../../activities/ysql/executables.ts';
import type { DataObject, LogicalReadPoint, LogicalRestoreRequest, RestorePlan } from '../../model/backup.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import { startPostgres } from '../../parts/postgres.ts';
import { forEachBounded } from '../../repository/bounded.ts';
import { DirectoryStore } from '../../repository/directory.ts';
import type { Store } from '../../repository/store.ts';
import { query } from '../support/sql.ts';

/*
 * Drives the engine as the workflows do, without Temporal: so that a failure here is the engine's own. Against
 * HOLDFAST_TEST_YSQL_URL where that is set, else against a PostgreSQL of our own.
 */

export interface TestServer {
  readonly binDirectory: string;
  url(database?: string): string;
  stop(): Promise<void>;
}

export async function startServer(): Promise<TestServer> {
  const external = process.env.HOLDFAST_TEST_YSQL_URL;
  if (external === undefined) return await startPostgres();
  const { path } = await findExecutable('dump', { product: 'postgresql', version: 'external', major: 15 });
  return {
    binDirectory: path.slice(0, path.lastIndexOf('/')),
    url(database) {
      const url = new URL(external);
      if (database !== undefined) url.pathname = encodeURIComponent(database);
      return url.href;
    },
    stop: () => Promise.resolve(),
  };
}

/** Runs statements, one call each. */
export async function run(url: string, ...statements: readonly string[]): Promise<void> {
  await query(url, ...statements);
}

export const ZOO_ROLES = ['zoo_owner', 'zoo_reader', 'Zoo Keeper'];

/** Makes a database that has every kind of object. */
export async function createZoo(server: TestServer, name: string): Promise<void> {
  const admin = server.url();
  const existing = await query(admin, 'SELECT rolname FROM pg_roles');
  const missing = ZOO_ROLES.filter((role) => !existing.some(({ rolname }) => rolname === role));
  await run(admin, ...missing.map((role) => `CREATE ROLE "${role}"`), `CREATE DATABASE ${name}`);
  await run(server.url(name), await readFile(join(import.meta.dirname, 'zoo.sql'), 'utf8'));
  await run(
    admin,
    `COMMENT ON DATABASE ${name} IS 'all of it'`,
    `ALTER DATABASE ${name} OWNER TO zoo_owner`,
    `ALTER DATABASE ${name} SET zoo.closed = 'no'`,
    `ALTER ROLE zoo_reader IN DATABASE ${name} SET work_mem = '5MB'`,
    `GRANT CREATE ON DATABASE ${name} TO zoo_reader`,
  );
}

export interface TestRepository {
  readonly store: Store;
  readonly path: string;
  remove(): Promise<void>;
}

export async function createRepository(): Promise<TestRepository> {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-ysql-'));
  const store = new DirectoryStore(path);
  return { store, path, remove: () => rm(path, { recursive: true, force: true }) };
}

export function ysqlSource(changes: Partial<YsqlSource> = {}): YsqlSource {
  return {
    engine: 'ysql',
    connection: { env: 'SOURCE_URL' },
    tables: { include: [], exclude: [] },
    contents: 'all',
    globals: 'none',
    chunkBytes: 20_000,
    ...changes,
  };
}

export interface TestBackup {
  readonly source: YsqlSource;
  readonly context: BackupContext;
  readonly manifest: Manifest;
  readonly objects: readonly DataObject[];
  readonly readPoint: LogicalReadPoint;
}

/** A context whose secret is `url`, for a backup of its own in the repository. */
export function backupContext(
  repository: TestRepository,
  url: string,
  changes: Partial<BackupContext> = {},
): BackupContext {
  const backup = `b${randomBytes(4).toString('hex')}`;
  return {
    signal: new AbortController().signal,
    attempt: 1,
    heartbeat: () => undefined,
    log: () => undefined,
    secret: () => Promise.resolve(url),
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

/** A whole backup; `meanwhile` runs between the read point and the first chunk. */
export async function takeBackup(
  repository: TestRepository,
  url: string,
  source: YsqlSource = ysqlSource(),
  meanwhile: () => Promise<void> = () => Promise.resolve(),
): Promise<TestBackup> {
  const context = backupContext(repository, url);
  await ysqlEngine.flush(context, source, { waitMs: 10_000 });
  const { readPoint, held } = await ysqlEngine.openReadPoint(context, source, 1);
  try {
    await meanwhile();
    const exported = await ysqlEngine.export(context, source, readPoint);
    const objects: DataObject[] = [];
    for (const chunk of exported.chunks) {
      objects.push(...(await ysqlEngine.upload(context, source, readPoint, chunk, { zstdLevel: 1 })));
    }
    const sealed = await ysqlEngine.seal(context, source, readPoint, exported);
    return {
      source,
      context,
      manifest: manifestOf(context, source, readPoint, sealed, objects),
      objects,
      readPoint,
    };
  } finally {
    await held?.close();
  }
}

function manifestOf(
  context: BackupContext,
  source: YsqlSource,
  readPoint: LogicalReadPoint,
  sealed: EngineExport,
  objects: readonly DataObject[],
): Manifest {
  const sum = (own: readonly DataObject[], value: (object: DataObject) => number) =>
    own.reduce((total, object) => total + value(object), 0);
  const totals = (own: readonly DataObject[]) => ({
    rows: sum(own, ({ rows }) => rows),
    bytes: sum(own, ({ bytes }) => bytes),
    objects: own.length,
  });
  const databases = sealed.databases.map((database) => ({
    ...database,
    tables: database.tables.map(({ schema, table }) => ({
      schema,
      table,
      ...totals(
        objects.filter(
          (object) =>
            object.table.database === database.name &&
            object.table.schema === schema &&
            object.table.table === table,
        ),
      ),
    })),
  }));
  return {
    formatVersion: 1,
    plan: context.ref.plan,
    backup: context.ref.backup,
    engine: 'ysql',
    pipelineHash: 'test',
    writtenBy: { holdfast: 'test', host: 'test' },
    startedAt: readPoint.takenAt,
    completedAt: readPoint.takenAt,
    server: sealed.server,
    readPoint,
    contents: source.contents,
    databases,
    commonObjects: sealed.commonObjects,
    totals: {
      ...totals(objects),
      storedBytes: sum(objects, ({ sizeBytes }) => sizeBytes),
      tables: databases.reduce((count, { tables }) => count + tables.length, 0),
    },
    data: { inline: objects },
  };
}

/** A restore of `backup` with `changes` of the request; `url` is where to. */
export function restoreContext(
  backup: TestBackup,
  url: string,
  changes: Partial<LogicalRestoreRequest> = {},
  manifest: Manifest = backup.manifest,
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
    secret: () => Promise.resolve(url),
    request,
    manifest,
    dataObjects: () => Promise.resolve(backup.objects),
  };
}

const UNITS_AT_ONCE = 8;

/** Every part of the restore, each called twice, since a worker may die after the work and before its report. */
export async function runRestore(
  context: RestoreContext,
): Promise<RestoreOutcome & { readonly plan: RestorePlan }> {
  const { restore } = ysqlEngine;
  const twice = async (work: () => Promise<unknown>) => {
    await work();
    await work();
  };
  const plan = await restore.plan(context);
  await twice(() => restore.prepare(context));
  for (let task = 0; task < plan.tasks; task += 1) await twice(() => restore.load(context, task));
  for (const [wave, units] of plan.postDataWaves.entries()) {
    const unitTwice = (unit: number) => twice(() => restore.postData(context, wave, unit, units));
    await forEachBounded(Array(units).keys(), UNITS_AT_ONCE, unitTwice);
  }
  await restore.finish(context);
  return { ...(await restore.finish(context)), plan };
}
