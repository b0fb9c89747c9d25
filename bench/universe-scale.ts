import type { Client } from '@temporalio/client';
import { Worker } from '@temporalio/worker';
import type { Activities, NodeActivities } from '../activities/contract.ts';
import { runActivities } from '../activities/run-activities.ts';
import { placeTablets } from '../engines/universe/placement.ts';
import { packBatch, TABLETS_PER_BATCH, type TabletTarget } from '../model/tablets.ts';
import { nodeQueue, readPointQueue } from '../model/task-queue.ts';
import {
  type Histories,
  measureHistories,
  QUEUE,
  type Simulation,
  simulatedPipeline,
  startSimulation,
} from './simulation.ts';

export interface ScaleFigures extends Histories {
  readonly tablets: number;
  readonly nodes: number;
  readonly seconds: number;
  /** Peak of the process that hosts the workflows, since it started. */
  readonly workerPeakBytes: number;
}

const SOURCE = '{ universe: { masters: ["10.0.0.1:7100"], databases: [orders] } }';
const REPLICAS = 3;

/**
 * Measures the workflows of a backup of a large universe: real Temporal, real workflows and real placement of tablets; agents and
 * transfers do nothing. One workflow worker serves one universe after another.
 */
export async function benchScale(
  sizes: readonly { readonly tablets: number; readonly nodes: number }[],
  say: (line: string) => void,
): Promise<readonly ScaleFigures[]> {
  await using simulation = await startSimulation();
  const { client, native } = simulation;
  const figures: ScaleFigures[] = [];
  for (const { tablets, nodes } of sizes) {
    say(`${tablets} tablets on ${nodes} nodes …`);
    const addresses = Array.from({ length: nodes }, (_, node) => `node-${node}:9100`);
    const targets = targetsOf(tablets, addresses);
    const activities = simulated(client, targets, nodes);
    const agent: Partial<NodeActivities> = {
      saveTablets: async ({ tablets: names }) => ({
        saved: names.length,
        files: names.length * 20,
        bytes: names.length * 64e6,
        sentBytes: names.length * 64e6,
        sentObjects: names.length * 8,
        left: [],
      }),
    };
    const workers = await Promise.all([
      Worker.create({
        connection: native,
        taskQueue: QUEUE,
        activities,
        maxConcurrentActivityTaskExecutions: 50,
      }),
      Worker.create({ connection: native, taskQueue: readPointQueue(QUEUE), activities }),
      ...addresses.map((address) =>
        Worker.create({
          connection: native,
          taskQueue: nodeQueue(address),
          activities: agent,
          maxConcurrentActivityTaskExecutions: 10,
          maxConcurrentActivityTaskPolls: 1,
        }),
      ),
    ]);
    const running = workers.map((worker) => worker.run());
    try {
      figures.push(await oneBackup(simulation, tablets, nodes));
    } finally {
      for (const worker of workers) worker.shutdown();
      await Promise.all(running);
    }
  }
  return figures;
}

async function oneBackup(simulation: Simulation, tablets: number, nodes: number): Promise<ScaleFigures> {
  const { client } = simulation;
  const workflowId = `backup:scale:${tablets}`;
  const startedAt = performance.now();
  await client.workflow.execute('backup', {
    workflowId,
    taskQueue: QUEUE,
    args: [{ pipeline: simulatedPipeline('scale', SOURCE), backup: `scale-${tablets}` }],
  });
  const seconds = (performance.now() - startedAt) / 1_000;
  const shards = Math.ceil(tablets / TABLETS_PER_BATCH);
  const children = Array.from({ length: shards }, (_, shard) => `${workflowId}:upload:e1:${shard}`);
  return {
    ...{ tablets, nodes, seconds },
    ...(await measureHistories(client, workflowId, children)),
    workerPeakBytes: simulation.workflowWorkerPeakBytes(),
  };
}

function targetsOf(tablets: number, addresses: readonly string[]): readonly TabletTarget[] {
  const hex = (value: number) => value.toString(16).padStart(32, '0');
  const roles = ['LEADER', 'FOLLOWER', 'FOLLOWER'] as const;
  const all = Array.from({ length: tablets }, (_, tablet) => ({
    id: hex(tablet),
    tableId: hex(tablet % 1_000),
    replicas: Array.from({ length: Math.min(REPLICAS, addresses.length) }, (_unused, replica) => ({
      server: hex(replica),
      address: addresses[(tablet * 7 + replica * 11) % addresses.length] ?? '',
      role: roles[replica] ?? ('FOLLOWER' as const),
    })),
  }));
  return placeTablets(all, () => '00000000-0000-4000-8000-000000000000', new Map());
}

function simulated(client: Client, targets: readonly TabletTarget[], nodes: number): Partial<Activities> {
  const identify = async () => ({ server: 'scale', databases: { include: [], exclude: [] } });
  const summary = {
    plan: 'scale',
    backup: 'scale',
    rows: 0,
    bytes: 0,
    storedBytes: 0,
    objects: 0,
    tables: 1_000,
    manifestSha256: '0'.repeat(64),
  };
  return {
    ...runActivities(client, identify),
    flush: async () => ({ waitedMs: 0 }),
    snapshot: async ({ firstEpoch }) => ({
      kind: 'universe-snapshot',
      epoch: firstEpoch,
      takenAt: new Date().toISOString(),
      databases: [],
    }),
    export: async ({ readPoint }) => ({
      epoch: readPoint.epoch,
      shards: Math.ceil(targets.length / TABLETS_PER_BATCH),
      tasks: targets.length,
      tables: 1_000,
      databases: ['orders'],
      estimatedBytes: targets.length * 64e6,
      nodes,
    }),
    describeTablets: async ({ shard }) =>
      packBatch(targets.slice(shard * TABLETS_PER_BATCH, (shard + 1) * TABLETS_PER_BATCH)),
    seal: async () => summary,
    releaseSnapshots: async () => ({ deleted: 1 }),
  };
}
