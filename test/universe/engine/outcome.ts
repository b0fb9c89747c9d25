import type { BackupSummary } from '../../../model/backup.ts';
import { verifyBackup } from '../../../repository/backups/verify.ts';
import { query } from '../../support/sql.ts';
import type { Universe } from '../launcher.ts';
import { databaseContents, keyspaceContents } from './contents.ts';
import { PLAN, type Stage } from './stage.ts';

/** What a run left behind in the universe and the repository that it must not; empty when all is well. */
export async function leftBehind(stage: Pick<Stage, 'universe' | 'store'>): Promise<readonly string[]> {
  const { snapshots, loadBalancerEnabled } = await stage.universe.view();
  const live = snapshots.filter(({ state }) => state !== 'DELETED' && state !== 'DELETING');
  const folders = ['restores/', 'snapshots/'];
  const keys = await Promise.all(folders.map((folder) => Array.fromAsync(stage.store().list(folder))));
  return [
    ...live.map(({ id, namespace, state }) => `snapshot ${id} of ${namespace} is ${state}`),
    ...(loadBalancerEnabled ? [] : ['the load balancer is off']),
    // The record of a restore that replaced what was there stays.
    ...keys
      .flat()
      .filter(({ key }) => !/^restores\/[^/]+\/[^/]+\.json$/.test(key))
      .map(({ key }) => `${key} is in the repository`),
  ];
}

/** Takes a backup with nothing in its way, for restores to start from. */
export function plainBackup(stage: Stage): Promise<BackupSummary> {
  return stage.json<BackupSummary>('backup', stage.planFile);
}

export async function verdictOf(stage: Stage, backup: string): Promise<string> {
  const { verdict, problems } = await verifyBackup(stage.store(), { plan: PLAN, backup }, 'content');
  return problems.length === 0 ? verdict : `${verdict}: ${problems.join('; ')}`;
}

/** Everything that is to come back, digested. */
export async function contentsOf(universe: Universe, database: string, keyspace: string): Promise<string> {
  return JSON.stringify([
    await databaseContents(universe, database),
    await keyspaceContents(universe, keyspace),
  ]);
}

export async function dropRestored(universe: Universe, database: string, keyspace: string): Promise<void> {
  await query(universe.ysql('yugabyte'), `DROP DATABASE IF EXISTS "${database}"`);
  await query(universe.ycqlStoreUrl, `DROP SCHEMA IF EXISTS "${keyspace}" CASCADE`);
}
