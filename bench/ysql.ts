import { readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { newBackupId, newRestoreId } from '../cli/runs.ts';
import { compile } from '../compiler/compile.ts';
import type { RestoreRequest, RestoreSummary } from '../model/backup.ts';
import type { Pipeline } from '../model/pipeline.ts';
import { startPostgres } from '../parts/postgres.ts';
import { startServer } from '../parts/process.ts';
import { startS3Gateway } from '../parts/s3.ts';
import { createScratchFolder } from '../parts/scratch.ts';
import { startTemporal } from '../parts/temporal.ts';
import { connectClient } from '../worker/connection.ts';
import { registerSearchAttributes } from '../worker/search-attributes.ts';
import type { BackupOutcome } from '../workflows/messages.ts';
import { generate } from './data.ts';
import { Peers } from './peers.ts';
import { median, renderSeconds, type Series } from './statistics.ts';

export interface YsqlBenchOptions {
  readonly rounds: number;
  /** 1: about 600 MB of COPY text. */
  readonly scale: number;
  readonly json: boolean;
  /** Writes docs/benchmarks.md. */
  readonly write: boolean;
}

const LANES = 2;
const CHUNK_BYTES = 64 * 1024 * 1024;
const BARE_PSQL = `COPY to nowhere, ${LANES} lanes of psql`;
const BARE_NODE = `COPY to nowhere, ${LANES} lanes of pg-copy-streams in Node`;

const plan = (endpoint: string): string => `
apiVersion: holdfast/v1
kind: Repository
metadata: { name: bench }
spec:
  s3: { bucket: bench, endpoint: "${endpoint}", region: us-east-1, pathStyle: true, credentials: { accessKeyId: { env: BENCH_KEY }, secretAccessKey: { env: BENCH_SECRET } } }
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: bench }
spec:
  source: { ysql: { connection: { env: BENCH_URL }, globals: none } }
  repository: bench
  steps: [flush, snapshot, export, upload: { parallelism: ${LANES} }]
`;

/** Holdfast through Temporal into S3 against PostgreSQL's own programs, alternating, in one run on one machine. */
export async function benchYsql(options: YsqlBenchOptions): Promise<void> {
  await using cleanUp = new AsyncDisposableStack();
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const folder = await createScratchFolder('bench');
  cleanUp.defer(() => folder.remove());
  const postgres = await startPostgres({
    settings: {
      shared_buffers: '1GB',
      maintenance_work_mem: '256MB',
      max_wal_size: '8GB',
      autovacuum: 'off',
    },
  });
  cleanUp.defer(() => postgres.stop());
  const s3 = await startS3Gateway();
  cleanUp.defer(() => s3.stop());
  await s3.createBucket('bench');
  const temporal = await startTemporal({ dbFile: join(folder.path, 'temporal.db'), headless: true });
  cleanUp.defer(() => temporal.stop());

  say(`Generating data (scale ${options.scale}) …`);
  await sql(postgres.url(), 'CREATE DATABASE bench');
  await generate(postgres.url('bench'), options.scale);

  const { client, connection, target } = await connectClient(temporal.address);
  cleanUp.defer(() => connection.close());
  await registerSearchAttributes(connection, target.namespace);
  const worker = await startServer({
    name: 'the worker',
    command: process.execPath,
    args: [fileURLToPath(new URL('../cli/main.ts', import.meta.url)), 'worker'],
    environment: {
      TEMPORAL_ADDRESS: temporal.address,
      BENCH_URL: postgres.url('bench'),
      BENCH_KEY: s3.accessKeyId,
      BENCH_SECRET: s3.secretAccessKey,
    },
    logFile: join(folder.path, 'worker.log'),
  });
  cleanUp.defer(() => worker.stop());
  const pipeline = compilePlan(plan(s3.endpoint));
  const peers = new Peers(postgres.binDirectory, (database) => postgres.url(database));
  const times = new Map<string, number[]>();
  const sizes = new Map<string, number>();
  let textBytes = 0;
  let newest = '';

  const backup = async (): Promise<number> => {
    // As pg_dump's folder is: what the round before wrote goes, so that the disk is as full as it was.
    await rm(join(s3.directory, 'bench', 'backups', 'bench', newest), { recursive: true, force: true });
    newest = newBackupId(new Date());
    const outcome = (await client.workflow.execute('backup', {
      workflowId: `backup:bench:${newest}`,
      taskQueue: target.taskQueue,
      args: [{ pipeline, backup: newest }],
    })) as BackupOutcome;
    textBytes = outcome.summary.bytes;
    return outcome.summary.storedBytes;
  };
  const restore = async (): Promise<void> => {
    const summary = (await client.workflow.execute('restore', {
      workflowId: `restore:bench:${newRestoreId(new Date())}`,
      taskQueue: target.taskQueue,
      args: [restoreRequest(pipeline, newest)],
    })) as RestoreSummary;
    if (summary.verdict !== 'OK') throw new Error(`the restore differs: ${summary.problems.join('; ')}`);
  };
  const time = async (name: string, work: () => Promise<number | undefined>): Promise<void> => {
    const start = performance.now();
    const bytes = await work();
    const seconds = (performance.now() - start) / 1000;
    times.set(name, [...(times.get(name) ?? []), seconds]);
    if (bytes !== undefined) sizes.set(name, bytes);
    say(`  ${name}: ${seconds.toFixed(2)} s`);
  };
  const dumpFolder = join(folder.path, 'dump');

  say('Warming up …');
  await backup();
  await peers.copyToNowhere('bench', LANES, CHUNK_BYTES);
  for (let round = 1; round <= options.rounds; round++) {
    say(`Backup, round ${round} of ${options.rounds}`);
    await time('holdfast backup to S3', backup);
    await time(BARE_PSQL, () => peers.copyToNowhere('bench', LANES, CHUNK_BYTES).then(nothing));
    await time(BARE_NODE, () => peers.copyToNowhereByNode('bench', LANES, CHUNK_BYTES).then(nothing));
    await time('pg_dump -Fd -j2 -Z1', () => peers.dump('bench', dumpFolder, ['-Z1']));
    await time('pg_dump -Fd -j2 -Z0', () => peers.dump('bench', dumpFolder, ['-Z0']));
    await time('pg_dump -Fd -j2', () => peers.dump('bench', dumpFolder, []));
  }
  for (let round = 1; round <= options.rounds; round++) {
    say(`Restore, round ${round} of ${options.rounds}`);
    await sql(postgres.url(), 'CHECKPOINT');
    await time('holdfast restore from S3', () => restore().then(nothing));
    await sql(postgres.url(), 'DROP DATABASE bench_restored');
    await sql(postgres.url(), 'CREATE DATABASE bench_restored');
    await sql(postgres.url(), 'CHECKPOINT');
    await time('pg_restore -j2', () => peers.restore(dumpFolder, 'bench_restored').then(nothing));
    await sql(postgres.url(), 'DROP DATABASE bench_restored');
  }
  const report = {
    machine: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`,
    textBytes,
    rounds: options.rounds,
    workerPeakBytes: peakMemoryBytes(worker.pid ?? 0),
    series: [...times].map(([name, seconds]): Series => {
      const storedBytes = sizes.get(name);
      return { name, seconds, ...(storedBytes === undefined ? {} : { storedBytes }) };
    }),
  };
  if (options.json)
    process.stdout.write(`${JSON.stringify({ ...report, ratios: ratiosOf(report.series) })}\n`);
  else process.stdout.write(`${renderReport(report)}\n`);
  if (options.write) {
    const page = new URL('../docs/benchmarks.md', import.meta.url);
    // The other benchmark's section stays.
    const [, universe] = readFileSync(page, 'utf8').split('<!-- universe -->');
    const rest = universe === undefined ? '' : `\n<!-- universe -->${universe}`;
    writeFileSync(page, renderPage(report) + rest);
  }
}

type Report = {
  readonly machine: string;
  readonly textBytes: number;
  readonly rounds: number;
  readonly workerPeakBytes: number;
  readonly series: readonly Series[];
};

/** What the project promises itself, each as a ratio of medians of one run. */
function ratiosOf(series: readonly Series[]) {
  const of = (name: string) => median(series.find((one) => one.name === name)?.seconds ?? []);
  const backup = of('holdfast backup to S3');
  return [
    {
      name: 'backup: faster than pg_dump -Fd -j2',
      ratio: of('pg_dump -Fd -j2') / backup,
      goal: 'at least 3',
    },
    {
      name: 'backup: faster than pg_dump -Fd -j2 -Z1',
      ratio: of('pg_dump -Fd -j2 -Z1') / backup,
      goal: 'at least 1.3',
    },
    {
      name: 'backup: time of bare COPY through Node',
      ratio: backup / of(BARE_NODE),
      goal: 'at most 1.35',
    },
    {
      name: 'backup: time of bare COPY through psql',
      ratio: backup / of(BARE_PSQL),
      goal: '–',
    },
    {
      name: 'restore: faster than pg_restore -j2',
      ratio: of('pg_restore -j2') / of('holdfast restore from S3'),
      goal: 'at least 1.2',
    },
  ];
}

function renderReport(report: Report): string {
  const lines = [
    `| what | seconds: median (range) | MB/s of COPY text | stored MB |`,
    '|---|---|---|---|',
    ...report.series.map(({ name, seconds, storedBytes }) => {
      const rate = (report.textBytes / 1e6 / median(seconds)).toFixed(0);
      return `| ${name} | ${renderSeconds(seconds)} | ${rate} | ${storedBytes === undefined ? '' : (storedBytes / 1e6).toFixed(0)} |`;
    }),
    '',
    '| ratio of medians | reached | goal |',
    '|---|---|---|',
    ...ratiosOf(report.series).map(({ name, ratio, goal }) => `| ${name} | ${ratio.toFixed(2)} | ${goal} |`),
    `| worker’s peak memory | ${(report.workerPeakBytes / 2 ** 20).toFixed(0)} MiB | below 512 MiB |`,
  ];
  return lines.join('\n');
}

function renderPage(report: Report): string {
  return `# Benchmarks

Written by \`npm run bench -- ysql --write\` on ${new Date().toISOString().slice(0, 10)}: ${report.machine}; everything on one machine, loopback, PostgreSQL
with fsync off. ${(report.textBytes / 1e6).toFixed(0)} MB of COPY text in four tables, one of them about 80 %; ${report.rounds} rounds, alternating. Holdfast runs through
Temporal into an S3 gateway, with zstd, SHA-256 and verified puts, ${LANES} lanes. Compare ratios, not seconds: machines are noisy.

${renderReport(report)}
`;
}

function compilePlan(text: string): Pipeline {
  const { plans, diagnostics } = compile([{ path: 'bench.yaml', text }]);
  const [compiled] = plans;
  if (compiled === undefined) throw new Error(diagnostics.map(({ message }) => message).join('; '));
  return compiled.pipeline;
}

function restoreRequest(pipeline: Pipeline, backup: string): RestoreRequest {
  return {
    restore: newRestoreId(new Date()),
    from: { repository: pipeline.repository, plan: pipeline.plan, backup },
    source: pipeline.source,
    into: { bench: 'bench_restored' },
    replace: false,
    tables: { include: [], exclude: [] },
    contents: 'all',
    globals: false,
    check: 'rows',
    scratch: false,
    parallelism: LANES,
  };
}

async function sql(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

/** The most memory that a process had resident so far; Linux only. */
function peakMemoryBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) * 1024;
}

function nothing(): undefined {
  return undefined;
}
