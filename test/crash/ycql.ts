import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowFailedError } from '@temporalio/client';
import { startBackup, startRestore } from '../../cli/runs.ts';
import { compile } from '../../compiler/compile.ts';
import type { RestoreSummary } from '../../model/backup.ts';
import { messageOf } from '../../model/errors.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import { type CassandraCluster, startCassandra } from '../../parts/cassandra.ts';
import { type S3Gateway, startS3Gateway } from '../../parts/s3.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { startTemporal, type TemporalServer } from '../../parts/temporal.ts';
import { type ConnectedClient, connectClient } from '../../worker/connection.ts';
import type { BackupOutcome } from '../../workflows/messages.ts';
import { compareKeyspaces } from '../ycql/compare.ts';
import { createZoo, plainClient } from '../ycql/zoo.ts';
import { Dice } from './dice.ts';
import { Workers } from './workers.ts';

export interface YcqlCampaignOptions {
  readonly seed: number;
  /** Trials after the first, in which nothing happens. */
  readonly trials: number;
  /** Rows of the table with everything; each has about 30 cells. */
  readonly rows: number;
  /** 3: a ring, each row on all of its nodes, of which one at a time is killed. */
  readonly nodes: 1 | 3;
  /** Only these faults. */
  readonly faults?: readonly string[];
  say(line: string): void;
}

export interface YcqlCampaignReport {
  readonly strikes: number;
  readonly problems: readonly string[];
}

const KEYSPACE = 'zoo';
const BUCKET = 'crash';
const WORKERS = 2;
const STUCK_AFTER_MS = 10 * 60_000;
/** As in workflows/activity-proxies.ts. */
const HEARTBEAT_TIMEOUT_MS = 15_000;

interface YcqlStage {
  readonly cassandra: CassandraCluster;
  readonly temporal: TemporalServer;
  readonly gateway: S3Gateway;
  readonly workers: Workers;
  readonly client: ConnectedClient;
  readonly scratch: ScratchFolder;
  readonly plan: CompiledPlan;
}

/** What is struck, given a random moment; each comes back by itself. */
const FAULTS: Readonly<Record<string, (stage: YcqlStage, dice: Dice) => Promise<string>>> = {
  async worker({ workers }, dice) {
    const index = Math.floor(dice.number() * workers.count);
    const pid = await workers.kill(index, dice.between(0, 1_500));
    return `kill -9 of worker ${pid ?? index}`;
  },
  async 'all-workers'({ workers }, dice) {
    await Promise.all(
      Array.from({ length: workers.count }, (_, index) => workers.kill(index, dice.between(0, 1_500))),
    );
    return 'kill -9 of all workers';
  },
  async 'worker-stalls'({ workers }, dice) {
    const index = Math.floor(dice.number() * workers.count);
    await workers.stall(index, HEARTBEAT_TIMEOUT_MS + dice.between(1_000, 8_000));
    return `worker ${index} stood still and came back`;
  },
  async temporal({ temporal }, dice) {
    await temporal.kill9();
    await sleep(dice.between(0, 2_000));
    await temporal.restart();
    return 'kill -9 of Temporal';
  },
  async gateway({ gateway }, dice) {
    await gateway.kill9();
    await sleep(dice.between(300, 4_000));
    await gateway.restart();
    return 'kill -9 of the S3 gateway';
  },
  async cassandra({ cassandra }, dice) {
    const index = Math.floor(dice.number() * cassandra.nodes.length);
    const node = cassandra.nodes[index];
    await node?.kill9();
    await sleep(dice.between(0, 2_000));
    await node?.restart();
    return `kill -9 of Cassandra's node ${index + 1} of ${cassandra.nodes.length}`;
  },
};

export const YCQL_FAULTS = Object.keys(FAULTS);

/** Backs a keyspace up and restores it, each under a fault at a moment that the seed tells; the copy must equal the source. */
export async function runYcqlCampaign(options: YcqlCampaignOptions): Promise<YcqlCampaignReport> {
  const { seed, say } = options;
  const dice = new Dice(seed);
  const stage = await startStage(options);
  const problems: string[] = [];
  let strikes = 0;
  let expectedMs = Number.POSITIVE_INFINITY;
  try {
    const names = options.faults ?? YCQL_FAULTS;
    for (let trial = 0; trial <= options.trials; trial += 1) {
      const name = trial === 0 ? undefined : names[(trial - 1) % names.length];
      say(`ycql ${trial}: ${name ?? 'nothing'}`);
      const strike = name === undefined ? undefined : FAULTS[name];
      const struck: string[] = [];
      const startedAt = Date.now();
      const found = await runTrial(stage, `copy_${trial}`, async (operation) => {
        if (strike === undefined) return;
        await sleep(dice.between(0, 0.8 * Math.min(expectedMs, 60_000)));
        if (operation.ended) return;
        struck.push(await strike(stage, dice));
      });
      expectedMs = Math.min(expectedMs, (Date.now() - startedAt) / 2);
      strikes += struck.length;
      for (const what of struck) say(`    ${what}`);
      for (const problem of found) say(`    - ${problem}`);
      problems.push(...found.map((problem) => `trial ${trial} (${name ?? 'nothing'}): ${problem}`));
      problems.push(...stage.workers.takeOwnExits());
    }
  } finally {
    await stopStage(stage);
  }
  return { strikes, problems };
}

async function startStage({ rows, nodes, seed }: YcqlCampaignOptions): Promise<YcqlStage> {
  const scratch = await createScratchFolder('crash-ycql');
  const cassandra = await startCassandra({ nodes, ...(nodes === 3 ? { heap: '384M' } : {}) });
  const temporal = await startTemporal({ dbFile: join(scratch.path, 'temporal.db'), headless: true });
  const gateway = await startS3Gateway();
  await gateway.createBucket(BUCKET);
  await createZoo(cassandra, KEYSPACE, { seed, rows, dialect: 'cassandra', replicas: nodes });
  const workers = await Workers.start(
    WORKERS,
    {
      TEMPORAL_ADDRESS: temporal.address,
      CRASH_S3_KEY: gateway.accessKeyId,
      CRASH_S3_SECRET: gateway.secretAccessKey,
    },
    scratch.path,
  );
  await workers.ready();
  const client = await connectClient(temporal.address);
  return { cassandra, temporal, gateway, workers, client, scratch, plan: planOf(cassandra, gateway) };
}

async function stopStage(stage: YcqlStage): Promise<void> {
  await stage.workers.stop();
  await stage.client.connection.close();
  await Promise.all([stage.temporal.stop(), stage.gateway.stop(), stage.cassandra.stop()]);
  await stage.scratch.remove();
}

function planOf(cassandra: CassandraCluster, gateway: S3Gateway): CompiledPlan {
  const text = `apiVersion: holdfast/v1
kind: Repository
metadata: { name: main }
spec:
  s3: { bucket: ${BUCKET}, prefix: crash, region: ${gateway.region}, endpoint: "${gateway.endpoint}", pathStyle: true, credentials: { accessKeyId: { env: CRASH_S3_KEY }, secretAccessKey: { env: CRASH_S3_SECRET } } }
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: zoo }
spec:
  source: { ycql: { contactPoints: [${cassandra.contactPoints.join(', ')}], port: ${cassandra.port}, keyspaces: { include: [${KEYSPACE}] }, consistency: scan, chunkSize: 1MiB } }
  repository: main
  steps: [flush, snapshot, export, upload: { parallelism: 4 }, verify: { level: content }]
`;
  const { plans, diagnostics } = compile([{ path: 'crash.yaml', text }]);
  const [plan] = plans;
  if (plan === undefined) throw new Error(`the plan has errors: ${JSON.stringify(diagnostics)}`);
  return plan;
}

interface Operation {
  ended: boolean;
}

async function runTrial(
  stage: YcqlStage,
  copy: string,
  strike: (operation: Operation) => Promise<void>,
): Promise<readonly string[]> {
  const { plan, cassandra } = stage;
  const session = {
    client: stage.client.client,
    taskQueue: stage.client.target.taskQueue,
    end: async () => undefined,
  };
  try {
    const outcome = await under<BackupOutcome>(stage, strike, () => startBackup(session, plan));
    const wishes = {
      backup: outcome.summary.backup,
      into: { [KEYSPACE]: copy },
      replace: false,
      tables: { include: [], exclude: [] },
      contents: 'all' as const,
      globals: false,
      check: 'rows' as const,
      parallelism: 4,
    };
    const summary = await under<RestoreSummary>(stage, strike, () => startRestore(session, plan, wishes));
    const { differences } = await compareKeyspaces(cassandra, KEYSPACE, copy, await tablesOf(cassandra));
    return [...summary.problems, ...differences];
  } catch (error) {
    return [`it did not come to its end: ${messageOf(error)}`];
  } finally {
    await drop(cassandra, copy);
  }
}

/** Follows a run to its end, whatever becomes of Temporal meanwhile. */
async function under<T>(
  stage: YcqlStage,
  strike: (operation: Operation) => Promise<void>,
  start: () => Promise<{ readonly workflowId: string }>,
): Promise<T> {
  const { workflowId } = await start();
  const operation: Operation = { ended: false };
  const striking = strike(operation);
  const deadline = Date.now() + STUCK_AFTER_MS;
  try {
    for (;;) {
      try {
        return (await stage.client.client.workflow.getHandle(workflowId).result()) as T;
      } catch (error) {
        if (error instanceof WorkflowFailedError) throw new Error(messageOf(error.cause ?? error));
        if (Date.now() > deadline) throw error;
        // Temporal is down for a moment.
        await sleep(300);
      }
    }
  } finally {
    operation.ended = true;
    await striking;
  }
}

async function tablesOf(cassandra: CassandraCluster): Promise<readonly string[]> {
  const client = plainClient(cassandra);
  try {
    const { rows } = await client.execute(
      'SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?',
      [KEYSPACE],
    );
    return rows.map(({ table_name }) => String(table_name));
  } finally {
    await client.shutdown();
  }
}

async function drop(cassandra: CassandraCluster, keyspace: string): Promise<void> {
  const client = plainClient(cassandra);
  try {
    await client.execute(`DROP KEYSPACE IF EXISTS ${keyspace}`);
  } finally {
    await client.shutdown();
  }
}
