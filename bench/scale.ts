import { Worker } from '@temporalio/worker';
import type { Activities } from '../activities/contract.ts';
import { runActivities } from '../activities/run-activities.ts';
import { TASKS_PER_BATCH } from '../model/backup.ts';
import { readPointQueue } from '../model/task-queue.ts';
import {
  type Histories,
  measureHistories,
  QUEUE,
  type Simulation,
  simulatedPipeline,
  startSimulation,
} from './simulation.ts';
import { describeMachine } from './stage.ts';
import { median } from './statistics.ts';

export interface ScaleBenchOptions {
  /** 1: up to 160,000 chunks (10 TB), 100 workers, 999 small plans beside the large one. */
  readonly scale: number;
  readonly json: boolean;
}

const CHUNK_BYTES = 64e6;
const CHUNKS = [1_600, 16_000, 160_000];
/** Chunks that the large plan moves at once. */
const PARALLELISM = 50;
const WORKERS = 100;
const SLOTS_PER_WORKER = 4;
const SMALL_PLANS = 999;
const SMALL_CHUNKS = 2;
/** Small plans that start together, as when their schedules share an hour. */
const SMALL_AT_ONCE = 25;
/** How long a chunk holds its slot in the second part, where that matters. */
const CHUNK_MS = 200;
const SOURCE = '{ ysql: { connection: { env: NOWHERE }, globals: none } }';

interface SizeFigures extends Histories {
  readonly chunks: number;
  readonly seconds: number;
  readonly workerPeakBytes: number;
}

interface NeighbourFigures {
  readonly plans: number;
  /** Median seconds of a small backup. */
  readonly alone: number;
  readonly beside: number;
  readonly besideWorst: number;
  readonly chunkSeconds: number;
}

/**
 * Measures orchestration beyond the size of one machine, with real Temporal and workflows and scripted chunks. First: how a backup's
 * history and time grow with its chunks. Then: how much longer small backups take while a large one runs on the same workers.
 */
export async function benchScale(options: ScaleBenchOptions): Promise<void> {
  const say = (line: string) => process.stderr.write(`${line}\n`);
  await using simulation = await startSimulation();
  const sizes: SizeFigures[] = [];
  for (const full of CHUNKS) {
    const chunks = Math.max(TASKS_PER_BATCH, Math.round(full * options.scale));
    say(`${chunks} chunks …`);
    sizes.push(await withWorkers(simulation, chunks, 0, 4, () => oneBackup(simulation, chunks)));
  }
  const neighbours = await besideALargeOne(simulation, options.scale, say);
  const report = { machine: describeMachine(), sizes, neighbours };
  process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : `${render(report)}\n`);
}

/** Runs `count` workers of scripted activities: plans named `small…` have two chunks, others `chunks`, and each chunk holds its slot for `chunkMs`. */
async function withWorkers<T>(
  { client, native }: Simulation,
  chunks: number,
  chunkMs: number,
  count: number,
  work: () => Promise<T>,
): Promise<T> {
  const identify = async () => ({ server: 'scale', databases: { include: [], exclude: [] } });
  const activities: Partial<Activities> = {
    ...runActivities(client, identify),
    flush: async () => ({ waitedMs: 0 }),
    snapshot: async ({ firstEpoch }) => ({
      kind: 'yb-read-time',
      epoch: firstEpoch,
      micros: '1764500000000000',
      takenAt: new Date().toISOString(),
    }),
    export: async ({ readPoint, ref }) => {
      const tasks = ref.plan.startsWith('small') ? SMALL_CHUNKS : chunks;
      return {
        epoch: readPoint.epoch,
        shards: Math.ceil(tasks / TASKS_PER_BATCH),
        tasks,
        tables: 1_000,
        databases: ['orders'],
        estimatedBytes: tasks * CHUNK_BYTES,
      };
    },
    upload: async ({ task }) => {
      if (chunkMs > 0) await new Promise((resolve) => setTimeout(resolve, chunkMs));
      return { index: task, rows: 1, bytes: CHUNK_BYTES, storedBytes: CHUNK_BYTES / 3, objects: 1 };
    },
    seal: async ({ ref }) => ({
      plan: ref.plan,
      backup: ref.backup,
      rows: 0,
      bytes: 0,
      storedBytes: 0,
      objects: 0,
      tables: 1_000,
      manifestSha256: '0'.repeat(64),
    }),
  };
  // The SDK allows one worker per queue and process, so this one polls as often, and has as many slots, as all of them together.
  const worker = await Worker.create({
    connection: native,
    taskQueue: QUEUE,
    activities,
    maxConcurrentActivityTaskExecutions: count * SLOTS_PER_WORKER,
    maxConcurrentActivityTaskPolls: count,
  });
  const readPoints = await Worker.create({
    connection: native,
    taskQueue: readPointQueue(QUEUE),
    activities,
    maxConcurrentActivityTaskExecutions: 100,
  });
  return await readPoints.runUntil(worker.runUntil(work));
}

async function oneBackup(simulation: Simulation, chunks: number): Promise<SizeFigures> {
  const workflowId = `backup:scale:${chunks}`;
  const seconds = await timed(() => backUp(simulation, workflowId, 'scale'));
  const batches = Math.ceil(chunks / TASKS_PER_BATCH);
  const children = Array.from({ length: batches }, (_, batch) => `${workflowId}:upload:e1:${batch}`);
  return {
    ...{ chunks, seconds },
    ...(await measureHistories(simulation.client, workflowId, children)),
    workerPeakBytes: simulation.workflowWorkerPeakBytes(),
  };
}

/** Runs small backups, some at once: first alone, then beside the large one, which has enough chunks to outlast them. */
async function besideALargeOne(
  simulation: Simulation,
  scale: number,
  say: (line: string) => void,
): Promise<NeighbourFigures> {
  const plans = Math.max(SMALL_AT_ONCE, Math.round(SMALL_PLANS * scale));
  const workers = Math.max(20, Math.round(WORKERS * scale));
  const [, , large = 0] = CHUNKS;
  return await withWorkers(simulation, large, CHUNK_MS, workers, async () => {
    say(`${plans} small plans alone, ${workers} workers …`);
    const alone = await smallBackups(simulation, 'alone', plans);
    say('the same beside a large one …');
    const workflowId = 'backup:scale:beside';
    const handle = await simulation.client.workflow.start('backup', backupOptions(workflowId, 'scale'));
    const beside = await smallBackups(simulation, 'beside', plans);
    await handle.terminate('measured');
    return {
      plans,
      alone: median(alone),
      beside: median(beside),
      besideWorst: Math.max(...beside),
      chunkSeconds: CHUNK_MS / 1_000,
    };
  });
}

async function smallBackups(
  simulation: Simulation,
  round: string,
  plans: number,
): Promise<readonly number[]> {
  const seconds: number[] = [];
  let next = 0;
  const one = async (): Promise<void> => {
    for (let plan = next++; plan < plans; plan = next++) {
      const name = `small-${plan}`;
      seconds.push(await timed(() => backUp(simulation, `backup:${name}:${round}`, name)));
    }
  };
  await Promise.all(Array.from({ length: SMALL_AT_ONCE }, one));
  return seconds;
}

async function backUp({ client }: Simulation, workflowId: string, plan: string): Promise<void> {
  await client.workflow.execute('backup', backupOptions(workflowId, plan));
}

function backupOptions(workflowId: string, plan: string) {
  const pipeline = simulatedPipeline(plan, SOURCE, `upload: { parallelism: ${PARALLELISM} }`);
  return {
    workflowId,
    taskQueue: QUEUE,
    args: [{ pipeline, backup: workflowId.replaceAll(':', '-') }],
  };
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return (performance.now() - startedAt) / 1_000;
}

function render({
  machine,
  sizes,
  neighbours,
}: {
  readonly machine: string;
  readonly sizes: readonly SizeFigures[];
  readonly neighbours: NeighbourFigures;
}): string {
  const rows = sizes.map((size) => {
    const thousands = size.chunks / 1_000;
    const cells = [
      size.chunks,
      size.seconds.toFixed(1),
      (size.seconds / thousands).toFixed(2),
      (size.events / thousands).toFixed(0),
      `${size.longestHistory} events`,
      `${(size.largestHistoryBytes / 1e6).toFixed(2)} MB`,
      `${(size.largestPayloadOfParent / 1024).toFixed(1)} KiB`,
      `${(size.workerPeakBytes / 2 ** 20).toFixed(0)} MiB`,
    ];
    return `| ${cells.join(' | ')} |`;
  });
  return `${machine}

| chunks | seconds | seconds per 1,000 | events per 1,000 | longest history | largest history | largest payload of the parent | workflow worker’s peak |
|---|---|---|---|---|---|---|---|
${rows.join('\n')}

| small plans | a small backup alone | beside a large one | the slowest | a chunk |
|---|---|---|---|---|
| ${neighbours.plans} | ${neighbours.alone.toFixed(2)} s | ${neighbours.beside.toFixed(2)} s | ${neighbours.besideWorst.toFixed(2)} s | ${neighbours.chunkSeconds} s |`;
}
