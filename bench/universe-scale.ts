import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { Activities, NodeActivities } from '../activities/contract.ts';
import { runActivities } from '../activities/run-activities.ts';
import { compile } from '../compiler/compile.ts';
import { placeTablets } from '../engines/universe/placement.ts';
import type { Pipeline } from '../model/pipeline.ts';
import { packBatch, TABLETS_PER_BATCH, type TabletTarget } from '../model/tablets.ts';
import { nodeQueue, readPointQueue } from '../model/task-queue.ts';
import { startTemporal } from '../parts/temporal.ts';
import { registerSearchAttributes } from '../worker/search-attributes.ts';
import { peakMemoryBytes } from './universe-node.ts';

export interface ScaleFigures {
  readonly tablets: number;
  readonly nodes: number;
  readonly seconds: number;
  /** In all histories of the backup together. */
  readonly events: number;
  readonly workflows: number;
  readonly longestHistory: number;
  readonly largestHistoryBytes: number;
  readonly largestPayloadOfParent: number;
  /** Peak of the process that hosts the workflows, since it started. */
  readonly workerPeakBytes: number;
}

const QUEUE = 'scale';
const REPLICAS = 3;

/**
 * The workflows of a backup at the size of a large universe: real Temporal, real workflows, real placement of tablets; agents and
 * transfers do nothing. One universe after another, by one workflow worker.
 */
export async function benchScale(
  sizes: readonly { readonly tablets: number; readonly nodes: number }[],
  say: (line: string) => void,
): Promise<readonly ScaleFigures[]> {
  await using cleanUp = new AsyncDisposableStack();
  Runtime.install({
    logger: new DefaultLogger('ERROR'),
    telemetryOptions: { logging: { forward: {}, filter: { core: 'ERROR', other: 'ERROR' } } },
  });
  // Every agent polls; a namespace's usual limit is 1,200 polls at once for each frontend.
  const temporal = await startTemporal({
    headless: true,
    extraArgs: ['--dynamic-config-value', 'frontend.namespaceCount=100000'],
  });
  cleanUp.defer(() => temporal.stop());
  const connection = await Connection.connect({ address: temporal.address });
  cleanUp.defer(() => connection.close());
  await registerSearchAttributes(connection, 'default');
  const client = new Client({ connection });
  const native = await NativeConnection.connect({ address: temporal.address });
  cleanUp.defer(() => native.close());
  const workflows = fork(fileURLToPath(new URL('universe-workflows.ts', import.meta.url)), [
    temporal.address,
    QUEUE,
  ]);
  cleanUp.defer(() => ended(workflows));
  await once(workflows, 'message');
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
      figures.push(await oneBackup(client, tablets, nodes, workflows));
    } finally {
      for (const worker of workers) worker.shutdown();
      await Promise.all(running);
    }
  }
  return figures;
}

async function oneBackup(
  client: Client,
  tablets: number,
  nodes: number,
  workflows: ChildProcess,
): Promise<ScaleFigures> {
  const workflowId = `backup:scale:${tablets}`;
  const startedAt = performance.now();
  await client.workflow.execute('backup', {
    workflowId,
    taskQueue: QUEUE,
    args: [{ pipeline: pipeline(), backup: `scale-${tablets}` }],
  });
  const seconds = (performance.now() - startedAt) / 1_000;
  const shards = Math.ceil(tablets / TABLETS_PER_BATCH);
  const ids = [
    workflowId,
    ...Array.from({ length: shards }, (_, shard) => `${workflowId}:upload:e1:${shard}`),
  ];
  const histories = await Promise.all(ids.map((id) => client.workflow.getHandle(id).describe()));
  const sizes = histories.map(({ historyLength, historySize }) => ({
    events: historyLength,
    bytes: historySize ?? 0,
  }));
  const history = await client.workflow.getHandle(workflowId).fetchHistory();
  return {
    tablets,
    nodes,
    seconds,
    events: sizes.reduce((sum, { events }) => sum + events, 0),
    workflows: ids.length,
    longestHistory: Math.max(...sizes.map(({ events }) => events)),
    largestHistoryBytes: Math.max(...sizes.map(({ bytes }) => bytes)),
    largestPayloadOfParent: largestBytes(history),
    workerPeakBytes: peakMemoryBytes(workflows.pid ?? 0),
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

function pipeline(): Pipeline {
  const text = `
apiVersion: holdfast/v1
kind: Repository
metadata: { name: main }
spec: { directory: /nowhere }
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: scale }
spec:
  source: { universe: { masters: ["10.0.0.1:7100"], databases: [orders] } }
  repository: main
  steps: [flush, snapshot, export, upload]
`;
  const { plans, diagnostics } = compile([{ path: 'scale.yaml', text }]);
  const [compiled] = plans;
  if (compiled === undefined) throw new Error(diagnostics.map(({ message }) => message).join('; '));
  return compiled.pipeline;
}

/** Of the longest run of bytes anywhere in a history: its largest payload. */
function largestBytes(value: unknown): number {
  if (value instanceof Uint8Array) return value.byteLength;
  if (typeof value !== 'object' || value === null) return 0;
  let largest = 0;
  for (const each of Object.values(value)) largest = Math.max(largest, largestBytes(each));
  return largest;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}
