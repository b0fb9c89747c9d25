import { readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import pg from 'pg';
import { startPostgres } from '../parts/postgres.ts';
import { findPeerClients } from '../parts/postgres-versions.ts';
import { createScratchFolder } from '../parts/scratch.ts';
import { generate } from './data.ts';
import { Peers } from './peers.ts';
import { Rclone } from './rclone.ts';
import { type Destination, describeMachine, type Ratio, renderRatios, setStage, settle } from './stage.ts';
import { median, renderSeconds, type Series } from './statistics.ts';
import { UNIVERSE_SECTION } from './universe.ts';

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
/** After this many backups the worker's CPU time per backup no longer falls (measured: 4.2, 2.2, 2.1, 2.0, 2.0, 1.9 core-seconds). */
const WARM_UP_BACKUPS = 8;
const BACKUP_S3 = 'holdfast backup to S3';
const BACKUP_FOLDER = 'holdfast backup to a directory';
const ZSTD = 'pg_dump 17 -Fd -j2 --compress=zstd:1';
const LZ4 = 'pg_dump 17 -Fd -j2 --compress=lz4';
const GZIP = 'pg_dump 15 -Fd -j2';
const copied = (dump: string): string => `${dump}, then rclone copy to S3`;
const BARE_PSQL = `COPY to nowhere, ${PARALLELISM} processes of psql`;
const BARE_NODE = `COPY to nowhere, ${PARALLELISM} readers of pg-copy-streams in Node`;
const RESTORE = 'holdfast restore from S3, tables vacuumed and compared';
const PEER_RESTORE = 'pg_restore 17 -j2 of the zstd:1 dump';
const PEER_VACUUM = 'the same, then vacuumdb -j2 --analyze';
const RESTORED = 'bench_restored';

/** One program, or several in a row, whose work is measured. */
interface Contender {
  readonly name: string;
  /** Not measured. */
  prepare(): Promise<void>;
  /** Returns the stored bytes, if it stores any. */
  work(): Promise<number | undefined>;
}

/** Compares Holdfast, through Temporal, with PostgreSQL's own programs and rclone, alternating, in one run on one machine. */
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
    into: { bench: RESTORED },
    folder: folder.path,
    environment: { BENCH_URL: postgres.url('bench') },
  });
  cleanUp.use(stage);
  await stage.gateway.createBucket('peer');
  const rclone = await Rclone.configured(join(folder.path, 'rclone.conf'), stage.gateway, {
    bucket: 'peer',
    concurrency: PARALLELISM,
  });
  const old = new Peers(postgres.binDirectory, (database) => postgres.url(database));
  const peers = new Peers(await findPeerClients(say), (database) => postgres.url(database));
  let textBytes = 0;
  const backupTo = (destination: Destination) => async (): Promise<number> => {
    const { bytes, storedBytes } = await stage.backup(destination);
    textBytes = bytes;
    return storedBytes;
  };
  const dumpFolder = join(folder.path, 'dump');
  const removeDump = () => rm(dumpFolder, { recursive: true, force: true });
  const dumping = (name: string, by: Peers, extra: readonly string[]): Contender => ({
    name,
    prepare: removeDump,
    work: () => by.dump('bench', dumpFolder, extra),
  });
  const copying = (name: string): Contender => ({
    name: copied(name),
    prepare: () => rclone.clear(),
    work: () => rclone.copy(dumpFolder).then(nothing),
  });
  const reading = (name: string, read: () => Promise<void>): Contender => ({
    name,
    prepare: async () => undefined,
    work: () => read().then(nothing),
  });
  const emptyTarget = async () => {
    await sql(postgres.url(), `DROP DATABASE IF EXISTS ${RESTORED}`);
    await sql(postgres.url(), `CREATE DATABASE ${RESTORED}`);
    await sql(postgres.url(), 'CHECKPOINT');
  };
  const backups: readonly Contender[] = [
    { name: BACKUP_FOLDER, prepare: () => stage.removeBackup(), work: backupTo('directory') },
    { name: BACKUP_S3, prepare: () => stage.removeBackup(), work: backupTo('S3') },
    reading(BARE_PSQL, () => old.copyToNowhere('bench', PARALLELISM, CHUNK_BYTES)),
    reading(BARE_NODE, () => old.copyToNowhereByNode('bench', PARALLELISM, CHUNK_BYTES)),
    dumping(GZIP, old, []),
    dumping(LZ4, peers, ['--compress=lz4']),
    copying(LZ4),
    dumping(ZSTD, peers, ['--compress=zstd:1']),
    copying(ZSTD),
  ];
  const restores: readonly Contender[] = [
    {
      name: RESTORE,
      prepare: async () => {
        await sql(postgres.url(), `DROP DATABASE IF EXISTS ${RESTORED}`);
        await sql(postgres.url(), 'CHECKPOINT');
      },
      work: () => stage.restore().then(nothing),
    },
    {
      name: PEER_RESTORE,
      prepare: emptyTarget,
      work: () => peers.restore(dumpFolder, RESTORED).then(nothing),
    },
    reading(PEER_VACUUM, () => peers.vacuum(RESTORED)),
  ];

  say('Warming up …');
  const begun = performance.now();
  await stage.backup();
  const firstSeconds = (performance.now() - begun) / 1000;
  for (let warmUp = 1; warmUp < WARM_UP_BACKUPS; warmUp++) {
    await stage.removeBackup();
    await stage.backup(warmUp % 2 === 0 ? 'S3' : 'directory');
  }
  await old.copyToNowhere('bench', PARALLELISM, CHUNK_BYTES);
  const series: Series[] = [
    ...(await alternately('Backup', backups, options.rounds, say)),
    ...(await alternately('Restore', restores, options.rounds, say)),
  ].map(addedTo);
  const report = {
    machine: describeMachine(),
    rclone: await rclone.version(),
    textBytes,
    rounds: options.rounds,
    firstSeconds,
    workerPeakBytes: stage.workerPeakBytes(),
    series,
  };
  if (options.json)
    process.stdout.write(`${JSON.stringify({ ...report, ratios: ratiosOf(report.series) })}\n`);
  else process.stdout.write(`${renderReport(report)}\n`);
  if (options.write) {
    const page = new URL('../docs/benchmarks.md', import.meta.url);
    // The other benchmark's section stays.
    const [, universe] = readFileSync(page, 'utf8').split(UNIVERSE_SECTION);
    const rest = universe === undefined ? '' : `\n${UNIVERSE_SECTION}${universe}`;
    writeFileSync(page, renderPage(report) + rest);
  }
}

/** Runs each contender once a round, in turn, so that a noisy minute affects all of them. */
async function alternately(
  what: string,
  contenders: readonly Contender[],
  rounds: number,
  say: (line: string) => void,
): Promise<readonly Series[]> {
  const times = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
  const sizes = new Map<string, number>();
  for (let round = 1; round <= rounds; round++) {
    say(`${what}, round ${round} of ${rounds}`);
    for (const { name, prepare, work } of contenders) {
      await prepare();
      await settle();
      const start = performance.now();
      const bytes = await work();
      const seconds = (performance.now() - start) / 1000;
      times.get(name)?.push(seconds);
      if (bytes !== undefined) sizes.set(name, bytes);
      say(`  ${name}: ${seconds.toFixed(2)} s`);
    }
  }
  return [...times].map(([name, seconds]) => {
    const storedBytes = sizes.get(name);
    return { name, seconds, ...(storedBytes === undefined ? {} : { storedBytes }) };
  });
}

/** The second step was measured alone. A user also waits for the first one, so this adds its time, round by round. */
function addedTo(one: Series, _index: number, all: readonly Series[]): Series {
  const first = { [copied(ZSTD)]: ZSTD, [copied(LZ4)]: LZ4, [PEER_VACUUM]: PEER_RESTORE }[one.name];
  const before = all.find(({ name }) => name === first);
  if (before === undefined) return one;
  return {
    ...one,
    seconds: one.seconds.map((seconds, round) => seconds + (before.seconds[round] ?? Number.NaN)),
  };
}

type Report = {
  readonly machine: string;
  readonly rclone: string;
  readonly textBytes: number;
  readonly rounds: number;
  /** Time of a worker's first backup, in which its code is compiled. */
  readonly firstSeconds: number;
  readonly workerPeakBytes: number;
  readonly series: readonly Series[];
};

/** Ratios of medians of one run. */
function ratiosOf(series: readonly Series[]): readonly Ratio[] {
  const of = (name: string) => median(series.find((one) => one.name === name)?.seconds ?? []);
  return [
    {
      name: 'backup, directory to directory: faster than zstd:1',
      ratio: of(ZSTD) / of(BACKUP_FOLDER),
      goal: 'at least 1.3',
    },
    {
      name: 'backup, directory to directory: faster than lz4',
      ratio: of(LZ4) / of(BACKUP_FOLDER),
      goal: 'at least 1.3',
    },
    {
      name: 'backup to S3: faster than zstd:1 and rclone',
      ratio: of(copied(ZSTD)) / of(BACKUP_S3),
      goal: 'at least 1.6',
    },
    {
      name: 'backup to S3: faster than lz4 and rclone',
      ratio: of(copied(LZ4)) / of(BACKUP_S3),
      goal: 'at least 1.6',
    },
    {
      name: 'backup to S3: faster than gzip to a directory',
      ratio: of(GZIP) / of(BACKUP_S3),
      goal: 'at least 3',
    },
    {
      name: 'backup to S3: time of bare COPY through Node',
      ratio: of(BACKUP_S3) / of(BARE_NODE),
      goal: 'at most 1.15',
    },
    { name: 'backup to S3: time of bare COPY through psql', ratio: of(BACKUP_S3) / of(BARE_PSQL), goal: '–' },
    { name: 'restore: faster than pg_restore', ratio: of(PEER_RESTORE) / of(RESTORE), goal: 'at least 1.5' },
    {
      name: 'restore: faster than pg_restore and vacuumdb',
      ratio: of(PEER_VACUUM) / of(RESTORE),
      goal: '–',
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
Temporal, with zstd, SHA-256 and verified puts, ${PARALLELISM} at a time; peers are whole commands (\`${report.rclone}\` with ${PARALLELISM} transfers, PostgreSQL's programs of 15 and 17). Before each measurement what the one before left is
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
