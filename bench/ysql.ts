import { readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import pg from 'pg';
import { startPostgres } from '../parts/postgres.ts';
import { createScratchFolder } from '../parts/scratch.ts';
import { generate } from './data.ts';
import { Peers } from './peers.ts';
import { describeMachine, type Ratio, renderRatios, setStage, settle } from './stage.ts';
import { median, renderSeconds, type Series } from './statistics.ts';

export interface YsqlBenchOptions {
  readonly rounds: number;
  /** 1: about 600 MB of COPY text. */
  readonly scale: number;
  readonly json: boolean;
  /** Writes docs/benchmarks.md. */
  readonly write: boolean;
}

const PARALLELISM = 2;
const CHUNK_BYTES = 64 * 1024 * 1024;
/** After which the worker's CPU time per backup no longer falls (measured: 4.2, 2.2, 2.1, 2.0, 2.0, 1.9 core-seconds). */
const WARM_UP_BACKUPS = 8;
const BARE_PSQL = `COPY to nowhere, ${PARALLELISM} processes of psql`;
const BARE_NODE = `COPY to nowhere, ${PARALLELISM} readers of pg-copy-streams in Node`;

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

  say(`Generating data (scale ${options.scale}) …`);
  await sql(postgres.url(), 'CREATE DATABASE bench');
  await generate(postgres.url('bench'), options.scale);

  const stage = await setStage({
    source: '{ ysql: { connection: { env: BENCH_URL }, globals: none } }',
    parallelism: PARALLELISM,
    restoreParallelism: PARALLELISM,
    into: { bench: 'bench_restored' },
    folder: folder.path,
    environment: { BENCH_URL: postgres.url('bench') },
  });
  cleanUp.use(stage);
  const peers = new Peers(postgres.binDirectory, (database) => postgres.url(database));
  const times = new Map<string, number[]>();
  const sizes = new Map<string, number>();
  let textBytes = 0;
  const backup = async (): Promise<number> => {
    const { bytes, storedBytes } = await stage.backup();
    textBytes = bytes;
    return storedBytes;
  };
  const time = async (
    name: string,
    work: () => Promise<number | undefined>,
    prepare?: () => Promise<void>,
  ): Promise<void> => {
    await prepare?.();
    await settle();
    const start = performance.now();
    const bytes = await work();
    const seconds = (performance.now() - start) / 1000;
    times.set(name, [...(times.get(name) ?? []), seconds]);
    if (bytes !== undefined) sizes.set(name, bytes);
    say(`  ${name}: ${seconds.toFixed(2)} s`);
  };
  const dumpFolder = join(folder.path, 'dump');
  const removeDump = () => rm(dumpFolder, { recursive: true, force: true });

  say('Warming up …');
  const begun = performance.now();
  await backup();
  const firstSeconds = (performance.now() - begun) / 1000;
  for (let warmUp = 1; warmUp < WARM_UP_BACKUPS; warmUp++) {
    await stage.removeBackup();
    await backup();
  }
  await peers.copyToNowhere('bench', PARALLELISM, CHUNK_BYTES);
  for (let round = 1; round <= options.rounds; round++) {
    say(`Backup, round ${round} of ${options.rounds}`);
    await time('holdfast backup to S3', backup, () => stage.removeBackup());
    await time(BARE_PSQL, () => peers.copyToNowhere('bench', PARALLELISM, CHUNK_BYTES).then(nothing));
    await time(BARE_NODE, () => peers.copyToNowhereByNode('bench', PARALLELISM, CHUNK_BYTES).then(nothing));
    await time('pg_dump -Fd -j2 -Z1', () => peers.dump('bench', dumpFolder, ['-Z1']), removeDump);
    await time('pg_dump -Fd -j2 -Z0', () => peers.dump('bench', dumpFolder, ['-Z0']), removeDump);
    await time('pg_dump -Fd -j2', () => peers.dump('bench', dumpFolder, []), removeDump);
  }
  for (let round = 1; round <= options.rounds; round++) {
    say(`Restore, round ${round} of ${options.rounds}`);
    await sql(postgres.url(), 'CHECKPOINT');
    await time('holdfast restore from S3', () => stage.restore().then(nothing));
    await sql(postgres.url(), 'DROP DATABASE bench_restored');
    await sql(postgres.url(), 'CREATE DATABASE bench_restored');
    await sql(postgres.url(), 'CHECKPOINT');
    await time('pg_restore -j2', () => peers.restore(dumpFolder, 'bench_restored').then(nothing));
    await sql(postgres.url(), 'DROP DATABASE bench_restored');
  }
  const report = {
    machine: describeMachine(),
    textBytes,
    rounds: options.rounds,
    firstSeconds,
    workerPeakBytes: stage.workerPeakBytes(),
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
  /** Of a worker's first backup, in which its code is compiled. */
  readonly firstSeconds: number;
  readonly workerPeakBytes: number;
  readonly series: readonly Series[];
};

/** Ratios of medians of one run. */
function ratiosOf(series: readonly Series[]): readonly Ratio[] {
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
    renderRatios(ratiosOf(report.series), report.workerPeakBytes),
  ];
  return lines.join('\n');
}

function renderPage(report: Report): string {
  return `# Benchmarks

Many small tables: [benchmarks-many](benchmarks-many.md). YCQL: [benchmarks-ycql](benchmarks-ycql.md). The archive of changes: [benchmarks-archive](benchmarks-archive.md).

Written by \`npm run bench -- ysql --write\` on ${new Date().toISOString().slice(0, 10)}: ${report.machine}; everything on one machine, loopback, PostgreSQL
and Temporal's file without fsync. ${(report.textBytes / 1e6).toFixed(0)} MB of COPY text in four tables, one of them about 80 %; ${report.rounds} rounds, alternating. Holdfast runs through
Temporal into an S3 gateway, with zstd, SHA-256 and verified puts, ${PARALLELISM} at a time. Before each measurement what the one before left is
removed and the disk is synced; the worker, which is a service, has made ${WARM_UP_BACKUPS} backups, in which its code was compiled (the
first took ${report.firstSeconds.toFixed(1)} s). Compare ratios, not seconds: machines are noisy.

${renderReport(report)}
`;
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

function nothing(): undefined {
  return undefined;
}
