import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Client } from '@temporalio/client';
import { compile } from '../compiler/compile.ts';
import { newBackupId, newRestoreId } from '../library/runs.ts';
import {
  type BackupSummary,
  PLAIN_RESTORE,
  type RestoreRequest,
  type RestoreSummary,
} from '../model/backup.ts';
import type { Pipeline } from '../model/pipeline.ts';
import { startServer } from '../parts/process.ts';
import { type S3Gateway, startS3Gateway } from '../parts/s3.ts';
import { startTemporal } from '../parts/temporal.ts';
import { connectClient } from '../worker/connection.ts';
import { registerSearchAttributes } from '../worker/search-attributes.ts';
import type { BackupOutcome } from '../workflows/messages.ts';

export interface StageOptions {
  /** The plan's source, in YAML. */
  readonly source: string;
  readonly parallelism: number;
  readonly restoreParallelism: number;
  /** Names of the restored copies, by name at the source. */
  readonly into: Readonly<Record<string, string>>;
  /** Scratch folder of the benchmark. */
  readonly folder: string;
  /** Secrets of the source. */
  readonly environment?: Readonly<Record<string, string>>;
  /** File that gets one line for each request to the store. */
  readonly accessLog?: string;
}

/** Where a backup goes. */
export type Destination = 'S3' | 'directory';

/** Holdfast as its users run it: a worker in a separate process, Temporal, an S3 gateway. */
export interface Stage {
  readonly gateway: S3Gateway;
  /** Backs up into the bucket of the gateway, or into a folder of this machine. */
  backup(destination?: Destination): Promise<BackupSummary>;
  /** Removes the newest backup, so that the disk is equally full for the next one. */
  removeBackup(): Promise<void>;
  /** Restores the newest backup from its destination; throws unless the verdict is OK. */
  restore(): Promise<void>;
  /** Backs up with the command, which follows the run to its end. Returns the command's user and system time, seconds; Linux only. */
  followedBackupCpuSeconds(): Promise<number>;
  /** Counts the activities that the newest run and its children scheduled. */
  activitiesOfNewestRun(): Promise<number>;
  /** User and system time of the worker so far, seconds; Linux only. */
  workerCpuSeconds(): number;
  /** The most memory that the worker had resident so far; Linux only. */
  workerPeakBytes(): number;
  [Symbol.asyncDispose](): Promise<void>;
}

const HOLDFAST = fileURLToPath(new URL('../cli/main.ts', import.meta.url));

/** Starts everything that a stage needs. The caller disposes of it. */
export async function setStage(options: StageOptions): Promise<Stage> {
  const parts = new AsyncDisposableStack();
  try {
    return await build(options, parts);
  } catch (error) {
    await parts.disposeAsync();
    throw error;
  }
}

async function build(options: StageOptions, parts: AsyncDisposableStack): Promise<Stage> {
  const { accessLog } = options;
  const s3 = await startS3Gateway(accessLog === undefined ? {} : { accessLog });
  parts.defer(() => s3.stop());
  await s3.createBucket('bench');
  const temporal = await startTemporal({
    dbFile: join(options.folder, 'temporal.db'),
    headless: true,
    // Like the databases: the benchmark compares programs, not how long a disk takes to write.
    extraArgs: ['--sqlite-pragma', 'synchronous=OFF'],
  });
  parts.defer(() => temporal.stop());
  const { client, connection, target } = await connectClient(temporal.address);
  parts.defer(() => connection.close());
  await registerSearchAttributes(connection, target.namespace);
  const environment = {
    TEMPORAL_ADDRESS: temporal.address,
    BENCH_KEY: s3.accessKeyId,
    BENCH_SECRET: s3.secretAccessKey,
    ...options.environment,
  };
  const worker = await startServer({
    name: 'the worker',
    command: process.execPath,
    args: [HOLDFAST, 'worker'],
    inherits: 'everything',
    environment,
    logFile: join(options.folder, 'worker.log'),
  });
  parts.defer(() => worker.stop());
  const pid = worker.pid ?? Number.NaN;
  const directory = join(options.folder, 'repository');
  await mkdir(directory);
  const pipelines: Readonly<Record<Destination, Pipeline>> = {
    S3: compilePlan(planText(options, s3Repository(s3.endpoint))),
    directory: compilePlan(planText(options, `directory: ${directory}`)),
  };
  const foldersOf: Readonly<Record<Destination, string>> = { S3: join(s3.directory, 'bench'), directory };
  let pipeline = pipelines.S3;
  let newestFolder = '';
  let newest = '';
  let newestRun = '';
  return {
    gateway: s3,
    async backup(destination = 'S3') {
      pipeline = pipelines[destination];
      newest = newBackupId(new Date());
      newestRun = `backup:bench:${newest}`;
      newestFolder = join(foldersOf[destination], 'backups', 'bench', newest);
      const { summary }: BackupOutcome = await client.workflow.execute('backup', {
        workflowId: newestRun,
        taskQueue: target.taskQueue,
        args: [{ pipeline, backup: newest }],
      });
      return summary;
    },
    async removeBackup() {
      if (newestFolder !== '') await rm(newestFolder, { recursive: true, force: true });
    },
    async restore() {
      const request = restoreRequest(options, pipeline, newest);
      newestRun = `restore:bench:${request.restore}`;
      const { verdict, problems }: RestoreSummary = await client.workflow.execute('restore', {
        workflowId: newestRun,
        taskQueue: target.taskQueue,
        args: [request],
      });
      if (verdict !== 'OK') throw new Error(`the restore differs: ${problems.join('; ')}`);
    },
    async followedBackupCpuSeconds() {
      const file = join(options.folder, 'bench.yaml');
      await writeFile(file, planText(options, s3Repository(s3.endpoint)));
      const before = endedChildrenCpuSeconds();
      await promisify(execFile)(process.execPath, [HOLDFAST, 'backup', file, '--json'], {
        env: { ...process.env, ...environment },
      });
      return endedChildrenCpuSeconds() - before;
    },
    activitiesOfNewestRun: () => countActivities(client, newestRun),
    workerCpuSeconds: () => cpuSeconds(pid),
    workerPeakBytes: () => peakBytes(pid),
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

function s3Repository(endpoint: string): string {
  return `s3: { bucket: bench, endpoint: "${endpoint}", region: us-east-1, pathStyle: true, credentials: { accessKeyId: { env: BENCH_KEY }, secretAccessKey: { env: BENCH_SECRET } } }`;
}

function planText({ source, parallelism }: StageOptions, repository: string): string {
  return `
apiVersion: holdfast/v1
kind: Repository
metadata: { name: bench }
spec:
  ${repository}
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: bench }
spec:
  source: ${source}
  repository: bench
  steps: [flush, snapshot, export, upload: { parallelism: ${parallelism} }]
`;
}

function compilePlan(text: string): Pipeline {
  const { plans, diagnostics } = compile([{ path: 'bench.yaml', text }]);
  const [compiled] = plans;
  if (compiled === undefined) throw new Error(diagnostics.map(({ message }) => message).join('; '));
  return compiled.pipeline;
}

function restoreRequest(options: StageOptions, pipeline: Pipeline, backup: string): RestoreRequest {
  return {
    restore: newRestoreId(new Date()),
    from: { repository: pipeline.repository, plan: pipeline.plan, backup },
    source: pipeline.source,
    ...PLAIN_RESTORE,
    into: options.into,
    scratch: false,
    parallelism: options.restoreParallelism,
  };
}

async function countActivities(client: Client, workflowId: string): Promise<number> {
  const { events = [] } = await client.workflow.getHandle(workflowId).fetchHistory();
  let count = 0;
  for (const {
    activityTaskScheduledEventAttributes,
    childWorkflowExecutionStartedEventAttributes,
  } of events ?? []) {
    const child = childWorkflowExecutionStartedEventAttributes?.workflowExecution?.workflowId;
    if (activityTaskScheduledEventAttributes) count += 1;
    if (child) count += await countActivities(client, child);
  }
  return count;
}

const TICKS_PER_SECOND = 100;

/** CPU time that a process has taken so far. */
export function cpuSeconds(pid: number): number {
  const fields = statOf(pid);
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** CPU time of the child processes that have ended. */
export function endedChildrenCpuSeconds(): number {
  const fields = statOf(process.pid);
  return (Number(fields[13]) + Number(fields[14])) / TICKS_PER_SECOND;
}

/** The fields of Linux's /proc/PID/stat, from the state on. */
function statOf(pid: number): readonly string[] {
  return readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
}

function peakBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) * 1024;
}

/** Flushes everything written so far to disk, so that no contender pays for another's writes. */
export async function settle(): Promise<void> {
  await promisify(execFile)('sync');
}

export function describeMachine(): string {
  return `${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`;
}

export interface Ratio {
  readonly name: string;
  readonly ratio: number;
  /** The project's own goal. */
  readonly goal: string;
}

/** A table in Markdown. */
export function renderRatios(ratios: readonly Ratio[], workerPeakBytes: number): string {
  return [
    '| ratio of medians | reached | goal |',
    '|---|---|---|',
    ...ratios.map(({ name, ratio, goal }) => `| ${name} | ${ratio.toFixed(2)} | ${goal} |`),
    `| worker’s peak memory | ${(workerPeakBytes / 2 ** 20).toFixed(0)} MiB | below 512 MiB |`,
  ].join('\n');
}
