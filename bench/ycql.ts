import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from '../engines/ycql/connect.ts';
import { startCassandra } from '../parts/cassandra.ts';
import { createScratchFolder } from '../parts/scratch.ts';
import { describeMachine, type Ratio, renderRatios, setStage } from './stage.ts';
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

/** Chunks at a time, and requests in flight on the node (a plan's default). */
const PARALLELISM = 4;
/** The default of `holdfast restore`. */
const RESTORE_PARALLELISM = 2;
const ROWS = 1_000_000;
const RESTORED = 'bench_restored';

/** Compares Holdfast, through Temporal into S3, with dsbulk, cqlsh and a bare scan, alternating, in one run on one machine. */
export async function benchYcql(options: YcqlBenchOptions): Promise<void> {
  await using cleanUp = new AsyncDisposableStack();
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const folder = await createScratchFolder('bench');
  cleanUp.defer(() => folder.remove());
  const cluster = await startCassandra({ heap: '2G', optimised: true });
  cleanUp.defer(() => cluster.stop());
  const verb = { signal: new AbortController().signal, log: () => undefined };
  const load = { inFlightPerNode: 32, pageRows: 5_000 };
  const session = await connect(verb, cluster, { consistencyLevel: 'LOCAL_ONE', load });
  cleanUp.defer(() => session.close());

  const rows = Math.round(ROWS * options.scale);
  say(`Writing ${rows} rows …`);
  await fill(session, rows);
  await cluster.nodetool(0, 'flush', KEYSPACE);

  const stage = await setStage({
    source: `{ ycql: { contactPoints: [${cluster.contactPoints.join(', ')}], port: ${cluster.port}, keyspaces: { include: [${KEYSPACE}] }, consistency: scan } }`,
    parallelism: PARALLELISM,
    restoreParallelism: RESTORE_PARALLELISM,
    into: { [KEYSPACE]: RESTORED },
    folder: folder.path,
  });
  cleanUp.use(stage);
  const dsbulk = new Dsbulk(cluster, join(folder.path, 'dsbulk-logs'));
  const shell = await cqlsh();
  const csv = join(folder.path, 'csv');
  const series = new Map<string, Taken[]>();
  const sizes = new Map<string, number>();
  let rowBytes = 0;

  const backup = async (): Promise<void> => {
    const summary = await stage.backup();
    if (summary.rows !== rows) throw new Error(`the backup has ${summary.rows} rows of ${rows}`);
    rowBytes = summary.bytes / summary.rows;
    sizes.set('holdfast backup to S3', summary.storedBytes);
  };
  const ofWorker = async (work: () => Promise<void>): Promise<Taken> => {
    const [cpuBefore, startedAt] = [stage.workerCpuSeconds(), performance.now()];
    await work();
    return {
      seconds: (performance.now() - startedAt) / 1_000,
      cpuSeconds: stage.workerCpuSeconds() - cpuBefore,
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
  await bareScan(session, PARALLELISM);
  await backup();
  for (let round = 1; round <= options.rounds; round++) {
    say(`Backup, round ${round} of ${options.rounds}`);
    await stage.removeBackup();
    await measure('holdfast backup to S3', () => ofWorker(backup));
    await measure('bare raw scan to nowhere', () => bareScan(session, PARALLELISM));
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
    await measure('holdfast restore from S3', () => ofWorker(() => stage.restore()));
    await session.execute('drop', `DROP KEYSPACE ${RESTORED}`);
    await session.execute('truncate', `TRUNCATE ${KEYSPACE}.${TABLE}`);
    await measure('dsbulk load from gzipped CSV', () => dsbulk.load(KEYSPACE, TABLE, csv));
  }
  const report = {
    machine: describeMachine(),
    rows,
    rowBytes: Math.round(rowBytes),
    rounds: options.rounds,
    workerPeakBytes: stage.workerPeakBytes(),
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

/** Ratios of medians of one run. */
function ratiosOf(series: readonly Measured[]): readonly Ratio[] {
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
    renderRatios(ratiosOf(report.series), report.workerPeakBytes),
  ].join('\n');
}

function page(report: Report): string {
  return `# Benchmarks of the ycql engine

Written by \`npm run bench -- ycql --write\` on ${new Date().toISOString().slice(0, 10)}: ${report.machine}; everything on one machine, loopback, one node of Cassandra 5.0.
${report.rows.toLocaleString('en')} rows of about ${report.rowBytes} bytes (with time of writing and TTL of each cell, which dsbulk and cqlsh leave out) in one table; ${report.rounds} rounds, alternating.
Holdfast runs through Temporal into an S3 gateway with a plan's default load, ${PARALLELISM} chunks at a time (${RESTORE_PARALLELISM} of a restore); the bare scan has as many requests under way. Holdfast's
CPU is the worker's. Compare ratios, not seconds: machines are noisy.

${render(report)}
`;
}
