import { readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from '../activities/ycql/session.ts';
import { newBackupId, newRestoreId } from '../cli/runs.ts';
import { compile } from '../compiler/compile.ts';
import type { RestoreRequest, RestoreSummary } from '../model/backup.ts';
import type { Pipeline } from '../model/pipeline.ts';
import { type CassandraCluster, startCassandra } from '../parts/cassandra.ts';
import { startServer } from '../parts/process.ts';
import { startS3Gateway } from '../parts/s3.ts';
import { createScratchFolder } from '../parts/scratch.ts';
import { startTemporal } from '../parts/temporal.ts';
import { connectClient } from '../worker/connection.ts';
import { registerSearchAttributes } from '../worker/search-attributes.ts';
import type { BackupOutcome } from '../workflows/messages.ts';
import { median, renderSeconds } from './statistics.ts';
import { cqlsh, Dsbulk, type Taken, timed } from './ycql-peers.ts';
import { bareScan, fill, KEYSPACE, TABLE } from './ycql-table.ts';

export interface YcqlBenchOptions {
  readonly rounds: number;
  /** 1: a million rows of about 250 bytes. */
  readonly scale: number;
  readonly json: boolean;
  /** Writes docs/benchmarks-ycql.md. */
  readonly write: boolean;
}

/** Chunks at a time, and requests under way on the node (as many as a plan allows that says nothing). */
const LANES = 4;
/** As `holdfast restore` without options. */
const RESTORE_LANES = 2;
const ROWS = 1_000_000;

const plan = (cluster: CassandraCluster, endpoint: string): string => `
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
  source: { ycql: { contactPoints: [${cluster.contactPoints.join(', ')}], port: ${cluster.port}, keyspaces: { include: [${KEYSPACE}] }, consistency: scan } }
  repository: bench
  steps: [flush, snapshot, export, upload: { parallelism: ${LANES} }]
`;

/** Holdfast through Temporal into S3 against dsbulk, cqlsh and a bare scan, alternating, in one run on one machine. */
export async function benchYcql(options: YcqlBenchOptions): Promise<void> {
  await using cleanUp = new AsyncDisposableStack();
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const folder = await createScratchFolder('bench');
  cleanUp.defer(() => folder.remove());
  const cluster = await startCassandra({ heap: '2G' });
  cleanUp.defer(() => cluster.stop());
  const s3 = await startS3Gateway();
  cleanUp.defer(() => s3.stop());
  await s3.createBucket('bench');
  const temporal = await startTemporal({ dbFile: join(folder.path, 'temporal.db'), headless: true });
  cleanUp.defer(() => temporal.stop());
  const verb = { signal: new AbortController().signal, log: () => undefined };
  const load = { inFlightPerNode: 32, pageRows: 5_000 };
  const session = await connect(verb, cluster, { consistencyLevel: 'LOCAL_ONE', load });
  cleanUp.defer(() => session.close());

  const rows = Math.round(ROWS * options.scale);
  say(`Writing ${rows} rows …`);
  await fill(session, rows);
  await cluster.nodetool(0, 'flush', KEYSPACE);

  const { client, connection, target } = await connectClient(temporal.address);
  cleanUp.defer(() => connection.close());
  await registerSearchAttributes(connection, target.namespace);
  const worker = await startServer({
    name: 'the worker',
    command: process.execPath,
    args: [fileURLToPath(new URL('../cli/main.ts', import.meta.url)), 'worker'],
    environment: {
      TEMPORAL_ADDRESS: temporal.address,
      BENCH_KEY: s3.accessKeyId,
      BENCH_SECRET: s3.secretAccessKey,
    },
    logFile: join(folder.path, 'worker.log'),
  });
  cleanUp.defer(() => worker.stop());
  const pipeline = compilePlan(plan(cluster, s3.endpoint));
  const dsbulk = new Dsbulk(cluster, join(folder.path, 'dsbulk-logs'));
  const shell = await cqlsh();
  const csv = join(folder.path, 'csv');
  const series = new Map<string, Taken[]>();
  const sizes = new Map<string, number>();
  let newest = '';
  let rowBytes = 0;

  const backup = async (): Promise<void> => {
    await rm(join(s3.directory, 'bench', 'backups', 'bench', newest), { recursive: true, force: true });
    newest = newBackupId(new Date());
    const { summary } = (await client.workflow.execute('backup', {
      workflowId: `backup:bench:${newest}`,
      taskQueue: target.taskQueue,
      args: [{ pipeline, backup: newest }],
    })) as BackupOutcome;
    if (summary.rows !== rows) throw new Error(`the backup has ${summary.rows} rows of ${rows}`);
    rowBytes = summary.bytes / summary.rows;
    sizes.set('holdfast backup to S3', summary.storedBytes);
  };
  const restore = async (): Promise<void> => {
    const summary = (await client.workflow.execute('restore', {
      workflowId: `restore:bench:${newRestoreId(new Date())}`,
      taskQueue: target.taskQueue,
      args: [restoreRequest(pipeline, newest)],
    })) as RestoreSummary;
    if (summary.verdict !== 'OK') throw new Error(`the restore differs: ${summary.problems.join('; ')}`);
  };
  const ofWorker = async (work: () => Promise<void>): Promise<Taken> => {
    const [cpuBefore, startedAt] = [cpuSeconds(worker.pid ?? 0), performance.now()];
    await work();
    return {
      seconds: (performance.now() - startedAt) / 1_000,
      cpuSeconds: cpuSeconds(worker.pid ?? 0) - cpuBefore,
    };
  };
  const measure = async (name: string, work: () => Promise<Taken>): Promise<void> => {
    const taken = await work();
    series.set(name, [...(series.get(name) ?? []), taken]);
    say(
      `  ${name}: ${taken.seconds.toFixed(2)} s, ${taken.cpuSeconds.toFixed(1)} s of CPU, ${Math.round(rows / taken.seconds)} rows/s`,
    );
  };

  say('Warming up …');
  await bareScan(session, LANES);
  await backup();
  for (let round = 1; round <= options.rounds; round++) {
    say(`Backup, round ${round} of ${options.rounds}`);
    await measure('holdfast backup to S3', () => ofWorker(backup));
    await measure('bare raw scan to nowhere', () => bareScan(session, LANES));
    await measure('dsbulk unload to gzipped CSV', async () => {
      const { bytes, ...taken } = await dsbulk.unload(KEYSPACE, TABLE, csv);
      sizes.set('dsbulk unload to gzipped CSV', bytes);
      return taken;
    });
  }
  if (shell !== undefined) {
    await measure('cqlsh COPY TO', () =>
      timed(shell, [
        '--request-timeout=600',
        '-e',
        `COPY ${KEYSPACE}.${TABLE} TO '${join(folder.path, 'copy.csv')}'`,
        cluster.contactPoints[0] ?? '',
        String(cluster.port),
      ]),
    );
  }
  for (let round = 1; round <= options.rounds; round++) {
    say(`Restore, round ${round} of ${options.rounds}`);
    await measure('holdfast restore from S3', () => ofWorker(restore));
    await session.execute('drop', `DROP KEYSPACE ${RESTORED}`);
    await session.execute('truncate', `TRUNCATE ${KEYSPACE}.${TABLE}`);
    await measure('dsbulk load from gzipped CSV', () => dsbulk.load(KEYSPACE, TABLE, csv));
  }
  const report = {
    machine: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`,
    rows,
    rowBytes: Math.round(rowBytes),
    rounds: options.rounds,
    workerPeakBytes: peakMemoryBytes(worker.pid ?? 0),
    series: [...series].map(([name, taken]) => ({
      name,
      seconds: taken.map(({ seconds }) => seconds),
      cpuSeconds: taken.map((each) => each.cpuSeconds),
      ...(sizes.has(name) ? { storedBytes: sizes.get(name) } : {}),
    })),
  };
  if (options.json)
    process.stdout.write(`${JSON.stringify({ ...report, ratios: ratiosOf(report.series) })}\n`);
  else process.stdout.write(`${render(report)}\n`);
  if (options.write) writeFileSync(new URL('../docs/benchmarks-ycql.md', import.meta.url), page(report));
}

interface Measured {
  readonly name: string;
  readonly seconds: readonly number[];
  readonly cpuSeconds: readonly number[];
  readonly storedBytes?: number | undefined;
}

interface Report {
  readonly machine: string;
  readonly rows: number;
  readonly rowBytes: number;
  readonly rounds: number;
  readonly workerPeakBytes: number;
  readonly series: readonly Measured[];
}

const RESTORED = 'bench_restored';

/** What the project promises itself, each as a ratio of medians of one run. */
function ratiosOf(series: readonly Measured[]) {
  const find = (name: string) => series.find((one) => one.name === name);
  const seconds = (name: string) => median(find(name)?.seconds ?? []);
  const cpu = (name: string) => median(find(name)?.cpuSeconds ?? []);
  const [backup, unload] = ['holdfast backup to S3', 'dsbulk unload to gzipped CSV'];
  return [
    {
      name: 'backup: faster than dsbulk unload',
      ratio: seconds(unload) / seconds(backup),
      goal: 'at least 1.2',
    },
    { name: 'backup: client CPU of dsbulk’s', ratio: cpu(backup) / cpu(unload), goal: 'at most 0.33' },
    {
      name: 'backup: time of the bare scan',
      ratio: seconds(backup) / seconds('bare raw scan to nowhere'),
      goal: 'at most 1.3',
    },
    {
      name: 'restore: faster than dsbulk load',
      ratio: seconds('dsbulk load from gzipped CSV') / seconds('holdfast restore from S3'),
      goal: 'at least 1',
    },
  ];
}

function render(report: Report): string {
  return [
    '| what | seconds: median (range) | rows/s | client CPU seconds | stored MB |',
    '|---|---|---|---|---|',
    ...report.series.map(({ name, seconds, cpuSeconds: cpu, storedBytes }) => {
      const rate = Math.round(report.rows / median(seconds)).toLocaleString('en');
      return `| ${name} | ${renderSeconds(seconds)} | ${rate} | ${median(cpu).toFixed(1)} | ${storedBytes === undefined ? '' : (storedBytes / 1e6).toFixed(0)} |`;
    }),
    '',
    '| ratio of medians | reached | goal |',
    '|---|---|---|',
    ...ratiosOf(report.series).map(({ name, ratio, goal }) => `| ${name} | ${ratio.toFixed(2)} | ${goal} |`),
    `| worker’s peak memory | ${(report.workerPeakBytes / 2 ** 20).toFixed(0)} MiB | below 512 MiB |`,
  ].join('\n');
}

function page(report: Report): string {
  return `# Benchmarks of the ycql engine

Written by \`npm run bench -- ycql --write\` on ${new Date().toISOString().slice(0, 10)}: ${report.machine}; everything on one machine, loopback, one node of Cassandra 5.0.
${report.rows.toLocaleString('en')} rows of about ${report.rowBytes} bytes (with time of writing and TTL of each cell, which dsbulk and cqlsh leave out) in one table; ${report.rounds} rounds, alternating.
Holdfast runs through Temporal into an S3 gateway with a plan's default load, ${LANES} chunks at a time (${RESTORE_LANES} of a restore); the bare scan has as many requests under way. Holdfast's
CPU is the worker's. Compare ratios, not seconds: machines are noisy.

${render(report)}
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
    into: { [KEYSPACE]: RESTORED },
    replace: false,
    tables: { include: [], exclude: [] },
    contents: 'all',
    globals: false,
    check: 'rows',
    scratch: false,
    parallelism: RESTORE_LANES,
  };
}

const TICKS_PER_SECOND = 100;

/** User and system time of a process so far; Linux only. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** The most memory that a process had resident so far; Linux only. */
function peakMemoryBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) * 1024;
}
