import { recover } from '../../../model/errors.ts';
import { ifKnown, unreadable, YB_ADMIN } from './errors.ts';
import type { YbAdmin } from './program.ts';
import { field, jsonIn, listField } from './text.ts';

/** A number that grows with every DDL, as text. Builds that count by database give the number of `database`. */
export async function catalogVersion(admin: YbAdmin, database: string): Promise<string> {
  const operation = 'ysql_catalog_version';
  // Old builds count for the whole universe and take no argument.
  const asking = admin.run(operation, [`ysql.${database}`]);
  return parseCatalogVersion(await recover(asking, YB_ADMIN.usage, () => admin.run(operation, [])));
}

export function parseCatalogVersion(output: string): string {
  const [, version] = /Version:\s*(\d+)/.exec(output) ?? [];
  if (version === undefined) throw unreadable('ysql_catalog_version', output, 'line "Version: <n>"');
  return version;
}

/** Writes the table's memtables to files on every replica. */
export async function flushTable(admin: YbAdmin, tableId: string, timeoutSeconds: number): Promise<void> {
  await admin.run('flush_table_by_id', [tableId, String(timeoutSeconds)], {
    limitMs: (timeoutSeconds + 60) * 1000,
  });
}

/** Switches the universe's load balancer on or off. */
export async function setLoadBalancer(admin: YbAdmin, enabled: boolean): Promise<void> {
  await admin.run('set_load_balancer_enabled', [enabled ? '1' : '0']);
}

export async function isLoadBalancerEnabled(admin: YbAdmin): Promise<boolean> {
  return parseLoadBalancerState(await admin.run('get_load_balancer_state', []));
}

/** Reads the last column of each master's row. The load balancer is on if any master says so. */
export function parseLoadBalancerState(output: string): boolean {
  const states = [...output.matchAll(/\b(ENABLED|DISABLED)\s*$/gm)].map(([, state]) => state);
  if (states.length === 0) throw unreadable('get_load_balancer_state', output, 'column ENABLED or DISABLED');
  return states.includes('ENABLED');
}

/**
 * Takes a lease: no tablet splits for `leaseMs` from now, and then the universe splits tablets again. `owner` names the holder. Call again before
 * it runs out. Returns false if the universe is too old to split tablets, or to stop splitting on request.
 */
export async function holdTabletSplitting(admin: YbAdmin, leaseMs: number, owner: string): Promise<boolean> {
  return (await ifKnown(admin.run('disable_tablet_splitting', [String(leaseMs), owner]))) !== undefined;
}

/** Whether no split is under way. True where the universe can't report it. */
export async function isTabletSplittingComplete(admin: YbAdmin): Promise<boolean> {
  const output = await ifKnown(admin.run('is_tablet_splitting_complete', []));
  return output === undefined || parseSplittingComplete(output);
}

export function parseSplittingComplete(output: string): boolean {
  const [, complete] = /is_tablet_splitting_complete:\s*(true|false)/.exec(output) ?? [];
  // A text protocol buffer leaves out what is false.
  return complete === 'true';
}

/** `SysClusterConfigEntryPB` as JSON: replication, placement, encryption at rest, the universe's UUID. */
export async function universeConfig(admin: YbAdmin): Promise<unknown> {
  return jsonIn('get_universe_config', await admin.run('get_universe_config', []));
}

/** How many replicas of each tablet a universe keeps, including read replicas; undefined if its configuration doesn't say. */
export function replicasPerTablet(config: unknown): number | undefined {
  const replication = field(config, 'replicationInfo');
  const live = replicasOf(field(replication, 'liveReplicas'));
  if (live === undefined) return undefined;
  return listField(replication, 'readReplicas').reduce<number>(
    (sum, cluster) => sum + (replicasOf(cluster) ?? 0),
    live,
  );
}

function replicasOf(placement: unknown): number | undefined {
  const count = field(placement, 'numReplicas');
  return typeof count === 'number' && count > 0 ? count : undefined;
}
