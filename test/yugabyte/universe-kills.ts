import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type S3Gateway, startS3Gateway } from '../../parts/s3.ts';
import { createScratchFolder } from '../../parts/scratch.ts';
import { startTemporal } from '../../parts/temporal.ts';
import type { Store } from '../../repository/store.ts';
import { query } from '../support/sql.ts';
import { BUCKET, s3Location, startWorker, storeOf } from '../universe/engine/stage.ts';
import type { Cluster, Killable } from './cluster.ts';
import {
  COPY,
  change,
  contents,
  DATABASE,
  dropAll,
  fill,
  KILLED,
  type KillOptions,
  type KillOutcome,
  tserverOf,
  type Victim,
  withKill,
} from './kills.ts';

const NODES = [0, 1, 2] as const;
const AT_MOST = '1MiB';

/**
 * As `killDuringRuns`, by engine `universe`: an agent beside each tablet server, a worker and Temporal on this machine, and a store that all of
 * them reach. An agent, the worker and a tablet server are killed, each in the middle of a backup and of a restore.
 */
export async function killDuringUniverseRuns(
  cluster: Cluster,
  options: KillOptions,
): Promise<readonly KillOutcome[]> {
  const scratch = await createScratchFolder('matrix-universe-kills');
  const running: Pick<Killable, 'stop'>[] = [scratchEnd(scratch)];
  try {
    const temporal = await startTemporal({ headless: true });
    running.push(temporal);
    const gateway = await startS3Gateway();
    running.push(gateway);
    await gateway.createBucket(BUCKET);
    const environment = {
      ...cluster.environment,
      TEMPORAL_ADDRESS: temporal.address,
      HOLDFAST_STATE_DIR: path.join(scratch.path, 'state'),
      STAGE_S3_KEY: gateway.accessKeyId,
      STAGE_S3_SECRET: gateway.secretAccessKey,
      KILLS_DATABASE_URL: cluster.ysql('yugabyte'),
    };
    const plan = path.join(scratch.path, 'kills.yaml');
    await writeFile(plan, planText(cluster, gateway, options.bytesPerSecond ?? AT_MOST));
    const worker = await startWorker('worker', [], environment, scratch.path);
    running.push(worker);
    const agents: Killable[] = [];
    for (const node of NODES) {
      const agent = await cluster.startAgent(node, environment);
      agents.push(agent);
      running.push(agent);
    }
    const victims: readonly (readonly [Pick<KillOutcome, 'killed'>, Victim])[] = [
      [{ killed: 'agent' }, victimOf(`the agent of tablet server ${KILLED + 1}`, agents[KILLED])],
      [{ killed: 'worker' }, victimOf('the worker', worker)],
      [{}, tserverOf(cluster)],
    ];
    await dropAll(cluster);
    await fill(cluster, options.rows);
    const store = await storeOf(gateway);
    const outcomes: KillOutcome[] = [];
    for (const [killed, victim] of victims) {
      const found = await disturbed(cluster, options, { plan, environment, victim, store });
      outcomes.push(...found.map((outcome) => ({ engine: 'universe' as const, ...killed, ...outcome })));
    }
    await store.close();
    return outcomes;
  } finally {
    await dropAll(cluster);
    for (const part of running.toReversed()) await part.stop();
  }
}

interface Disturbance {
  readonly plan: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly victim: Victim;
  readonly store: Store;
}

/** A backup and a restore, each with the victim killed in its midst. */
async function disturbed(
  cluster: Cluster,
  options: KillOptions,
  { plan, environment, victim, store }: Disturbance,
): Promise<readonly KillOutcome[]> {
  const wanted = await contents(cluster, DATABASE);
  const before = await objectsIn(store);
  const backup = await withKill(victim, options, 'backup', {
    args: ['backup', plan, '--json'],
    environment,
    // Files are on their way.
    isUnderWay: async () => (await objectsIn(store)) > before,
    judge: async () => undefined,
  });
  // Files that are in the repository already are not sent again: the next backup needs others.
  await change(cluster, options.rows);
  if (!backup.survived) return [backup];
  const restore = await withKill(victim, options, 'restore', {
    args: ['restore', plan, '--into', `${DATABASE}=${COPY}`, '--json'],
    environment,
    // The tables are there, so agents are about to fill their tablets.
    isUnderWay: () => isThere(cluster, COPY),
    judge: async () => {
      const found = await contents(cluster, COPY);
      return found === wanted ? undefined : `the copy differs: ${found} instead of ${wanted}`;
    },
  });
  await query(cluster.ysql('yugabyte'), `DROP DATABASE IF EXISTS ${COPY}`);
  return [backup, restore];
}

function victimOf(what: string, process: Pick<Killable, 'kill9' | 'restart'> | undefined): Victim {
  if (process === undefined) throw new Error(`${what} was not started`);
  return { what, kill9: () => process.kill9(), restart: () => process.restart() };
}

const scratchEnd = (scratch: { remove(): Promise<void> }): Pick<Killable, 'stop'> => ({
  stop: () => scratch.remove(),
});

async function objectsIn(store: Store): Promise<number> {
  return (await Array.fromAsync(store.list('objects/'))).length;
}

async function isThere(cluster: Cluster, database: string): Promise<boolean> {
  const name = `${database.replaceAll('_', '\\_')}%`;
  const found = await query(cluster.ysql('yugabyte'), `SELECT FROM pg_database WHERE datname LIKE '${name}'`);
  return found.length > 0;
}

function planText(cluster: Cluster, gateway: S3Gateway, bytesPerSecond: string): string {
  return `apiVersion: holdfast/v1
kind: Repository
metadata: { name: kills-backups }
spec:
  ${s3Location(gateway)}
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: kills }
spec:
  source:
    universe:
      masters: [${cluster.masters.join(', ')}]
      ysql: { connection: { env: KILLS_DATABASE_URL } }
      databases: [${DATABASE}]
      limits: { bytesPerSecondPerNode: ${bytesPerSecond} }
  repository: kills-backups
`;
}
