import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowFailedError } from '@temporalio/client';
import { compile } from '../../compiler/compile.ts';
import { startBackup, startRestore } from '../../library/runs.ts';
import { PLAIN_RESTORE, type RestoreSummary } from '../../model/backup.ts';
import { messageOf } from '../../model/errors.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import {
  type CassandraCluster,
  type CassandraNode,
  endOfLog,
  startCassandra,
} from '../../parts/cassandra.ts';
import { type S3Gateway, startS3Gateway } from '../../parts/s3.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { startTemporal, type TemporalServer } from '../../parts/temporal.ts';
import { type ConnectedClient, connectClient } from '../../worker/connection.ts';
import type { BackupOutcome } from '../../workflows/messages.ts';
import { compareKeyspaces, openSession } from '../ycql/compare.ts';
import { createZoo, plainClient } from '../ycql/zoo.ts';
import { Dice } from './dice.ts';
import { Workers } from './workers.ts';

export interface YcqlCampaignOptions {
  readonly seed: number;
  /** Faults that must have struck, after a first trial in which nothing happens. */
  readonly kills: number;
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
  /** Strikes by the name of their fault. */
  readonly struck: Readonly<Record<string, number>>;
  readonly problems: readonly string[];
}

const KEYSPACE = 'zoo';
const BUCKET = 'crash';
const WORKERS = 2;
const STUCK_AFTER_MS = 10 * 60_000;
const AGREE_WITHIN_MS = 60_000;
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
    if (node !== undefined) await comeBack(node);
    return `kill -9 of Cassandra's node ${index + 1} of ${cassandra.nodes.length}`;
  },
};

const COMES_BACK_WITHIN_TRIES = 3;

/** As a service manager starts it, again where it ends while it starts. */
async function comeBack(node: CassandraNode): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await node.restart();
      return;
    } catch (error) {
      if (tries === COMES_BACK_WITHIN_TRIES) throw new Error(await endOfLog(node, 300), { cause: error });
    }
  }
}

export const YCQL_FAULTS = Object.keys(FAULTS);

/** The order in which faults strike: every third is a node of Cassandra. */
const TURNS = [
  ...['cassandra', 'worker', 'gateway'],
  ...['cassandra', 'all-workers', 'temporal'],
  ...['cassandra', 'worker-stalls', 'worker'],
];

type OperationName = 'backup' | 'restore';

/**
 * Backs a keyspace up and restores it, each under a fault at a moment that the seed tells; the copy must equal the source. A fault whose
 * moment comes after the end of what it was to strike has its turn in the next operation.
 */
export async function runYcqlCampaign(options: YcqlCampaignOptions): Promise<YcqlCampaignReport> {
  const { seed, say } = options;
  const dice = new Dice(seed);
  const stage = await startStage(options);
  const turns = options.faults ?? TURNS;
  const problems: string[] = [];
  const struck: Record<string, number> = {};
  /** The shortest time that each operation took. */
  const shortestMs: Record<OperationName, number> = { backup: 20_000, restore: 20_000 };
  let strikes = 0;
  try {
    // As many trials again may pass without a strike.
    for (let trial = 0; strikes < options.kills && trial <= 2 * options.kills; trial += 1) {
      say(`ycql ${trial}`);
      const found = await runTrial(
        stage,
        `copy_${trial}`,
        async (operation) => {
          const name = turns[strikes % turns.length];
          const strike = name === undefined ? undefined : FAULTS[name];
          if (trial === 0 || strike === undefined || strikes >= options.kills) return;
          await sleep(dice.between(0, 0.8 * Math.min(shortestMs[operation.name], 60_000)));
          if (operation.ended) return;
          say(`    ${operation.name}: ${await strike(stage, dice)}`);
          struck[name ?? ''] = (struck[name ?? ''] ?? 0) + 1;
          strikes += 1;
        },
        (name, tookMs) => {
          shortestMs[name] = trial === 0 ? tookMs : Math.min(shortestMs[name], tookMs);
        },
      );
      for (const problem of found) say(`    - ${problem}`);
      problems.push(...found.map((problem) => `trial ${trial}: ${problem}`));
      problems.push(...stage.workers.takeOwnExits());
    }
    if (strikes < options.kills)
      problems.push(`${strikes} of ${options.kills} faults found something to strike`);
  } finally {
    await stopStage(stage);
  }
  return { strikes, struck, problems };
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
  readonly name: OperationName;
  ended: boolean;
}

async function runTrial(
  stage: YcqlStage,
  copy: string,
  strike: (operation: Operation) => Promise<void>,
  took: (name: OperationName, milliseconds: number) => void,
): Promise<readonly string[]> {
  const { plan, cassandra } = stage;
  const session = {
    client: stage.client.client,
    taskQueue: stage.client.target.taskQueue,
    end: async () => undefined,
  };
  const under = async <T>(name: OperationName, start: () => Promise<{ readonly workflowId: string }>) => {
    const startedAt = Date.now();
    const result = await follow<T>(stage, { name, ended: false }, strike, start);
    took(name, Date.now() - startedAt);
    return result;
  };
  try {
    const outcome = await under<BackupOutcome>('backup', () => startBackup(session, plan));
    const wishes = {
      backup: outcome.summary.backup,
      ...PLAIN_RESTORE,
      into: { [KEYSPACE]: copy },
      parallelism: 4,
    };
    const summary = await under<RestoreSummary>('restore', () => startRestore(session, plan, wishes));
    const { differences } = await compareKeyspaces(cassandra, KEYSPACE, copy, await tablesOf(cassandra));
    return [...summary.problems, ...differences];
  } catch (error) {
    return [`it did not come to its end: ${messageOf(error)}`];
  } finally {
    await drop(cassandra, copy);
  }
}

/** Follows a run to its end, whatever becomes of Temporal meanwhile. */
async function follow<T>(
  stage: YcqlStage,
  operation: Operation,
  strike: (operation: Operation) => Promise<void>,
  start: () => Promise<{ readonly workflowId: string }>,
): Promise<T> {
  const { workflowId } = await start();
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

/** A node that is just coming back may miss for ever what is made or dropped meanwhile (seen with Cassandra 5.0). */
async function agree(cassandra: CassandraCluster): Promise<void> {
  if (cassandra.nodes.length === 1) return;
  const signal = new AbortController().signal;
  for (const node of [undefined, ...cassandra.nodes.keys()]) {
    // What an operator does about it, to one node after the other.
    if (node !== undefined) await cassandra.nodetool(node, 'resetlocalschema');
    const session = await openSession(cassandra);
    try {
      if (await session.awaitSchemaAgreement(AGREE_WITHIN_MS, signal)) return;
    } finally {
      await session.close();
    }
  }
  throw new Error('the nodes do not agree on a schema, whatever is done about it');
}

async function drop(cassandra: CassandraCluster, keyspace: string): Promise<void> {
  await agree(cassandra);
  const client = plainClient(cassandra);
  try {
    await client.execute(`DROP KEYSPACE IF EXISTS ${keyspace}`);
  } finally {
    await client.shutdown();
  }
}
