import { type Client, Connection, Client as TemporalClient } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { Activities, ReconcileInput } from '../../activities/contract.ts';
import { READ_POINT_OPENED } from '../../activities/contract.ts';
import { runActivities } from '../../activities/run-activities.ts';
import { reconcileSchedules } from '../../activities/schedules.ts';
import type { ReadPoint, RestorePlan } from '../../model/backup.ts';
import { defined } from '../../model/defined.ts';
import type { Pipeline, RetryPolicy, Step, UniverseSource } from '../../model/pipeline.ts';
import { readPointQueue } from '../../model/task-queue.ts';
import { startTemporal, type TemporalServer } from '../../parts/temporal.ts';
import { workflowBundle } from '../../worker/bundle.ts';
import { registerSearchAttributes } from '../../worker/search-attributes.ts';

/** A real Temporal server and the real workflows; the activities are the test's own, so that it decides what happens. */
export interface Bench {
  readonly client: Client;
  /** Of the server. */
  readonly address: string;
  /** Another one for each `withActivities`, so that a worker that hangs disturbs no other test. */
  readonly taskQueue: string;
  /** Runs `body` while a worker with these activities polls. */
  withActivities<T>(
    activities: Partial<Activities>,
    body: () => Promise<T>,
    options?: {
      /** Activities at once, but for those that hold read points. Default: as many as there are. */
      readonly slots?: number;
    },
  ): Promise<T>;
  stop(): Promise<void>;
}

export async function startBench(): Promise<Bench> {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const temporal: TemporalServer = await startTemporal({ headless: true });
  const connection = await Connection.connect({ address: temporal.address });
  await registerSearchAttributes(connection, 'default');
  const native = await NativeConnection.connect({ address: temporal.address });
  const client = new TemporalClient({ connection });
  let queues = 0;
  let taskQueue = 'bench';
  return {
    client,
    address: temporal.address,
    get taskQueue() {
      return taskQueue;
    },
    withActivities: async (activities, body, { slots } = {}) => {
      taskQueue = `bench-${++queues}`;
      // Every test has a source of its own.
      const server = taskQueue;
      const turns = runActivities(client, async () => ({ server, databases: { include: [], exclude: [] } }));
      const common = {
        connection: native,
        activities: {
          ...turns,
          reconcileSchedules: (input: ReconcileInput) => reconcileSchedules(client, input),
          recordAct: async () => undefined,
          ...activities,
        },
        maxHeartbeatThrottleInterval: '200ms',
        defaultHeartbeatThrottleInterval: '200ms',
      } as const;
      const worker = await Worker.create({
        ...common,
        taskQueue,
        workflowBundle: await workflowBundle(),
        ...defined({ maxConcurrentActivityTaskExecutions: slots }),
      });
      const holders = await Worker.create({ ...common, taskQueue: readPointQueue(taskQueue) });
      return worker.runUntil(holders.runUntil(body));
    },
    stop: async () => {
      await native.close();
      await connection.close();
      await temporal.stop();
    },
  };
}

export { READ_POINT_OPENED };

/** Of a plan whose activities are scripted: nothing of it is reached. */
export const UNIVERSE_SOURCE: UniverseSource = {
  ...{
    engine: 'universe',
    masters: ['10.0.0.1:7100'],
    masterWebPort: 7000,
    databases: ['orders'],
    keyspaces: [],
  },
  ...{ globals: 'none', snapshotRetentionMs: 86_400_000, countRows: false },
  limits: { tasksPerNode: 1, filesPerDisk: 1 },
  patience: { agentMs: 1, snapshotMs: 1, restorationMs: 1 },
};

const RETRY: RetryPolicy = {
  maximumAttempts: 3,
  initialIntervalMs: 10,
  maximumIntervalMs: 100,
  backoffCoefficient: 2,
};

type StepDraft = Pick<Step, 'id' | 'verb' | 'options'> &
  Partial<Pick<Step, 'needs' | 'when' | 'parallelism'>>;

/** A pipeline of the given steps, each needing the one before it unless it says otherwise. */
export function pipelineOf(drafts: readonly StepDraft[]): Pipeline {
  const steps = drafts.map((draft, index) => ({
    needs: index === 0 ? [] : [drafts[index - 1]?.id ?? ''],
    when: 'success' as const,
    retry: RETRY,
    timeoutMs: 3_600_000,
    parallelism: 2,
    inputs: {},
    ...draft,
  })) as readonly Step[];
  return {
    formatVersion: 1,
    plan: 'orders',
    labels: {},
    source: {
      engine: 'ysql',
      connection: { env: 'UNUSED' },
      tables: { include: [], exclude: [] },
      contents: 'all',
      globals: 'none',
      chunkBytes: 64 * 1024 * 1024,
    },
    repository: { name: 'main', location: { kind: 'directory', path: '/nowhere' } },
    steps,
    hash: '0'.repeat(64),
  };
}

export const CAPTURE: readonly StepDraft[] = [
  { id: 'snapshot', verb: 'snapshot', options: {} },
  { id: 'export', verb: 'export', options: {} },
  { id: 'upload', verb: 'upload', options: { zstdLevel: 1 } },
];

export function readPointAt(epoch: number): ReadPoint {
  return {
    kind: 'pg-snapshot',
    epoch,
    snapshots: { orders: `s${epoch}` },
    takenAt: '2026-11-23T04:00:00.000Z',
  };
}

/** Activities of a capture that works: `tasks` tasks of 10 rows each. */
export function capture(
  tasks: number,
): Pick<Activities, 'snapshot' | 'export' | 'upload' | 'seal' | 'cleanUp'> {
  return {
    snapshot: async ({ firstEpoch }) => ({
      kind: 'yb-read-time',
      epoch: firstEpoch,
      micros: '1',
      takenAt: '2026-11-23T04:00:00.000Z',
    }),
    export: async ({ readPoint }) => ({
      epoch: readPoint.epoch,
      shards: Math.ceil(tasks / 500),
      tasks,
      tables: 1,
      databases: ['orders'],
      estimatedBytes: tasks * 100,
    }),
    upload: async ({ shard, task }) => ({
      index: shard * 500 + task,
      rows: 10,
      bytes: 100,
      storedBytes: 40,
      objects: 1,
    }),
    seal: async ({ ref, readPoint }) => ({
      plan: ref.plan,
      backup: ref.backup,
      rows: tasks * 10,
      bytes: tasks * 100,
      storedBytes: tasks * 40,
      objects: tasks,
      tables: 1,
      manifestSha256: String(readPoint.epoch),
    }),
    cleanUp: async () => ({ removedObjects: 0 }),
  };
}

/** Three tasks, two waves of post-data. */
export const RESTORE_PLAN: RestorePlan = {
  databases: [{ from: 'orders', to: 'orders_restored' }],
  tasks: 3,
  rows: 3,
  bytes: 3,
  storedBytes: 3,
  postDataWaves: [2, 1],
};

/** Activities of a restore that works, by `RESTORE_PLAN`. */
export function restoring(changes: Partial<Activities> = {}): Partial<Activities> {
  return {
    planRestore: async () => RESTORE_PLAN,
    prepareRestore: async () => undefined,
    load: async () => ({ rows: 1, bytes: 1 }),
    postData: async () => undefined,
    finishRestore: async ({ request }) => ({
      plan: request.from.plan,
      backup: request.from.backup,
      restore: request.restore,
      databases: [{ from: 'orders', to: 'orders_restored' }],
      rows: 3,
      bytes: 3,
      tables: 1,
      verdict: 'OK',
      problems: [],
    }),
    discardRestore: async () => undefined,
    ...changes,
  };
}
