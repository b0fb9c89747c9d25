import type { BackupContext, RestoreContext } from '../../engines/engine.ts';
import { ycqlEngine } from '../../engines/ycql/engine.ts';
import type { LogicalRestoreRequest } from '../../model/backup.ts';
import type { YcqlSource } from '../../model/pipeline.ts';
import * as runs from '../support/engine-runs.ts';
import type { TestCluster } from './zoo.ts';

export { createRepository, type TestRepository } from '../support/engine-runs.ts';

export type TestBackup = runs.TestBackup<YcqlSource>;

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

/** A context that finds its secrets in the environment, for a backup of its own in the repository. */
export function backupContext(
  repository: runs.TestRepository,
  changes: Partial<BackupContext> = {},
): BackupContext {
  const secret: BackupContext['secret'] = (reference) =>
    Promise.resolve('env' in reference ? (process.env[reference.env] ?? '') : '');
  return runs.backupContext(repository, { secret, ...changes });
}

/** A whole backup; `meanwhile` runs after the first chunk. */
export function takeBackup(
  repository: runs.TestRepository,
  source: YcqlSource,
  meanwhile?: () => Promise<unknown>,
  changes: Partial<BackupContext> = {},
): Promise<TestBackup> {
  const beside = meanwhile === undefined ? {} : { afterFirstChunk: meanwhile };
  return runs.runBackup(ycqlEngine, backupContext(repository, changes), source, beside);
}

/** A restore of `backup` with `changes` of the request. */
export function restoreContext(
  backup: TestBackup,
  changes: Partial<LogicalRestoreRequest> = {},
  context: Partial<RestoreContext> = {},
): RestoreContext {
  return runs.restoreContext(backup, changes, context);
}

export function runRestore(context: RestoreContext): ReturnType<typeof runs.runRestore> {
  return runs.runRestore(ycqlEngine, context);
}
