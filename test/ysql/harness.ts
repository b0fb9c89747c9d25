import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BackupContext, RestoreContext } from '../../engines/engine.ts';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import { findProgram } from '../../engines/ysql/server/programs/find.ts';
import type { LogicalRestoreRequest } from '../../model/backup.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import { type PostgresVersion, startPostgres } from '../../parts/postgres.ts';
import * as runs from '../support/engine-runs.ts';
import { query } from '../support/sql.ts';

export { createRepository, type TestRepository } from '../support/engine-runs.ts';

export type TestBackup = runs.TestBackup<YsqlSource>;

/* Against HOLDFAST_TEST_YSQL_URL where that is set, else against a PostgreSQL of our own. */

export interface TestServer {
  readonly binDirectory: string;
  url(database?: string): string;
  stop(): Promise<void>;
}

export async function startServer(
  version: PostgresVersion = 15,
  settings: Readonly<Record<string, string>> = {},
): Promise<TestServer> {
  const external = process.env.HOLDFAST_TEST_YSQL_URL;
  if (external === undefined) return await startPostgres({ version, settings });
  const { path } = await findProgram('dump', { product: 'postgresql', version: 'external', major: 15 });
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

export const ZOO_ROLES = ['zoo_owner', 'zoo_reader', 'Zoo Keeper'];

/** Makes a database that has every kind of object which the version knows. */
export async function createZoo(
  server: TestServer,
  name: string,
  version: PostgresVersion = 15,
): Promise<void> {
  const admin = server.url();
  const existing = await query(admin, 'SELECT rolname FROM pg_roles');
  const missing = ZOO_ROLES.filter((role) => !existing.some(({ rolname }) => rolname === role));
  await query(admin, ...missing.map((role) => `CREATE ROLE "${role}"`), `CREATE DATABASE ${name}`);
  await query(
    server.url(name),
    await readFile(join(import.meta.dirname, version === 11 ? 'zoo-11.sql' : 'zoo.sql'), 'utf8'),
  );
  await query(
    admin,
    `COMMENT ON DATABASE ${name} IS 'all of it'`,
    `ALTER DATABASE ${name} OWNER TO zoo_owner`,
    `ALTER DATABASE ${name} SET zoo.closed = 'no'`,
    `ALTER ROLE zoo_reader IN DATABASE ${name} SET work_mem = '5MB'`,
    `GRANT CREATE ON DATABASE ${name} TO zoo_reader`,
  );
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

/** A context whose secret is `url`, for a backup of its own in the repository. */
export function backupContext(
  repository: runs.TestRepository,
  url: string,
  changes: Partial<BackupContext> = {},
): BackupContext {
  return runs.backupContext(repository, { secret: () => Promise.resolve(url), ...changes });
}

/** A whole backup; `meanwhile` runs between the read point and the first chunk. */
export function takeBackup(
  repository: runs.TestRepository,
  url: string,
  source: YsqlSource = ysqlSource(),
  meanwhile?: () => Promise<unknown>,
): Promise<TestBackup> {
  const beside = meanwhile === undefined ? {} : { afterReadPoint: meanwhile };
  return runs.runBackup(ysqlEngine, backupContext(repository, url), source, beside);
}

/** A restore of `backup` with `changes` of the request; `url` is where to. */
export function restoreContext(
  backup: TestBackup,
  url: string,
  changes: Partial<LogicalRestoreRequest> = {},
  manifest: Manifest = backup.manifest,
): RestoreContext {
  return runs.restoreContext(backup, changes, { secret: () => Promise.resolve(url), manifest });
}

export function runRestore(
  context: RestoreContext,
  engine: typeof ysqlEngine = ysqlEngine,
): ReturnType<typeof runs.runRestore> {
  return runs.runRestore(engine, context);
}
