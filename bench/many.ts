import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import pg from 'pg';
import { startPostgres } from '../parts/postgres.ts';
import { createScratchFolder } from '../parts/scratch.ts';
import { Peers } from './peers.ts';
import { describeMachine, setStage, settle } from './stage.ts';
import { median, renderSeconds, type Series } from './statistics.ts';

export interface ManyBenchOptions {
  /** Number of tables, each with ten rows and a primary key. */
  readonly tables: number;
  readonly rounds: number;
  readonly json: boolean;
}

const PARALLELISM = 2;
const ROWS_PER_TABLE = 10;
const WARM_UP_BACKUPS = 2;
const SOURCE = 'many';
const COPY = 'many_restored';
const BACKUP = 'holdfast backup to S3';
const DUMP = 'pg_dump -Fd -j2';
const RESTORE = 'holdfast restore from S3';
const PEER_RESTORE = 'pg_restore -j2';

/** What one run sends; the machine's load doesn't change it. */
interface Asked {
  readonly name: string;
  /** Statements sent to the server. */
  readonly statements: number;
  /** Requests to the store; absent for programs that use none. */
  readonly requests?: number;
  readonly activities?: number;
}

/**
 * Compares Holdfast with pg_dump and pg_restore on a database of many small tables, alternating in one run. Times depend on the
 * machine's load, so the page shows their ratios, and how much each sends to the server, the store and Temporal, which depends on
 * nothing.
 */
export async function benchMany(options: ManyBenchOptions): Promise<void> {
  await using cleanUp = new AsyncDisposableStack();
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const folder = await createScratchFolder('bench');
  cleanUp.defer(() => folder.remove());
  const postgres = await startPostgres({
    settings: {
      shared_buffers: '1GB',
      autovacuum: 'off',
      // pg_dump locks every table at once.
      max_locks_per_transaction: String(Math.max(64, Math.ceil(options.tables / 20))),
    },
  });
  cleanUp.defer(() => postgres.stop());
  say(`Creating ${options.tables} tables …`);
  await sql(postgres.url(), `CREATE DATABASE ${SOURCE}`);
  await createTables(postgres.url(SOURCE), options.tables);

  const accessLog = join(folder.path, 'requests.log');
  const stage = await setStage({
    source: '{ ysql: { connection: { env: BENCH_URL }, globals: none } }',
    parallelism: PARALLELISM,
    restoreParallelism: PARALLELISM,
    into: { [SOURCE]: COPY },
    folder: folder.path,
    environment: { BENCH_URL: postgres.url(SOURCE) },
    accessLog,
  });
  cleanUp.use(stage);
  const peers = new Peers(postgres.binDirectory, (database) => postgres.url(database));
  const dumpFolder = join(folder.path, 'dump');
  const contenders: readonly Contender[] = [
    { name: BACKUP, prepare: () => stage.removeBackup(), work: () => stage.backup(), isHoldfast: true },
    {
      name: DUMP,
      prepare: () => rm(dumpFolder, { recursive: true, force: true }),
      work: () => peers.dump(SOURCE, dumpFolder, []),
      isHoldfast: false,
    },
    {
      name: RESTORE,
      prepare: () => sql(postgres.url(), `DROP DATABASE IF EXISTS ${COPY}`),
      work: () => stage.restore(),
      isHoldfast: true,
    },
    {
      name: PEER_RESTORE,
      prepare: async () => {
        await sql(postgres.url(), `DROP DATABASE IF EXISTS ${COPY}`);
        await sql(postgres.url(), `CREATE DATABASE ${COPY}`);
      },
      work: () => peers.restore(dumpFolder, COPY),
      isHoldfast: false,
    },
  ];

  say('Warming up …');
  for (let warmUp = 0; warmUp < WARM_UP_BACKUPS; warmUp++) {
    await stage.removeBackup();
    await stage.backup();
  }
  const times = new Map<string, number[]>();
  for (let round = 1; round <= options.rounds; round++) {
    say(`Round ${round} of ${options.rounds}`);
    for (const { name, prepare, work } of contenders) {
      await prepare();
      await settle();
      const start = performance.now();
      await work();
      const seconds = (performance.now() - start) / 1000;
      times.set(name, [...(times.get(name) ?? []), seconds]);
      say(`  ${name}: ${seconds.toFixed(2)} s`);
    }
  }

  say('Counting …');
  await sql(postgres.url(), "ALTER SYSTEM SET log_statement = 'all'");
  await sql(postgres.url(), 'SELECT pg_reload_conf()');
  const asked: Asked[] = [];
  for (const { name, prepare, work, isHoldfast } of contenders) {
    await prepare();
    const statements = await countingLines(postgres.logFile, / LOG: {2}(?:statement|execute [^:]*): /);
    const requests = await countingLines(accessLog, /./);
    await work();
    asked.push({
      name,
      statements: await statements(),
      ...(isHoldfast
        ? {
            requests: await requests(),
            activities: await stage.activitiesOfNewestRun(),
          }
        : {}),
    });
  }

  // The first run fills Node's compile cache.
  await stage.followedBackupCpuSeconds();
  const followingCpuSeconds = await stage.followedBackupCpuSeconds();
  const series = [...times].map(([name, seconds]): Series => ({ name, seconds }));
  const report: Report = {
    machine: describeMachine(),
    tables: options.tables,
    rounds: options.rounds,
    series,
    asked,
    ratios: { backup: ratioOf(series, BACKUP, DUMP), restore: ratioOf(series, RESTORE, PEER_RESTORE) },
    followingCpuSeconds,
    workerPeakBytes: stage.workerPeakBytes(),
    workerCpuSeconds: stage.workerCpuSeconds(),
  };
  process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : `${renderReport(report)}\n`);
}

interface Contender {
  readonly name: string;
  readonly isHoldfast: boolean;
  prepare(): Promise<void>;
  work(): Promise<unknown>;
}

interface Report {
  readonly machine: string;
  readonly tables: number;
  readonly rounds: number;
  readonly series: readonly Series[];
  readonly asked: readonly Asked[];
  /** Holdfast's median time divided by its peer's. */
  readonly ratios: { readonly backup: number; readonly restore: number };
  /** CPU time of the command that starts a backup and follows it. */
  readonly followingCpuSeconds: number;
  readonly workerPeakBytes: number;
  /** CPU time over the whole benchmark. */
  readonly workerCpuSeconds: number;
}

function ratioOf(series: readonly Series[], name: string, peer: string): number {
  const of = (wanted: string) => median(series.find((one) => one.name === wanted)?.seconds ?? []);
  return of(name) / of(peer);
}

function renderReport(report: Report): string {
  const { tables, machine, rounds, ratios, workerPeakBytes, followingCpuSeconds } = report;
  return [
    `${tables} tables of ${ROWS_PER_TABLE} rows with a primary key; ${machine}; ${rounds} rounds, alternating.`,
    '',
    '| what | seconds: median (range) | statements | store requests | activities |',
    '|---|---|---|---|---|',
    ...report.series.map(({ name, seconds }) => {
      const asked = report.asked.find((one) => one.name === name);
      return `| ${name} | ${renderSeconds(seconds)} | ${asked?.statements} | ${asked?.requests ?? ''} | ${asked?.activities ?? ''} |`;
    }),
    '',
    '| ratio of medians | reached |',
    '|---|---|',
    `| backup: time of ${DUMP} | ${ratios.backup.toFixed(2)} |`,
    `| restore: time of ${PEER_RESTORE} | ${ratios.restore.toFixed(2)} |`,
    `| CPU seconds of the command that follows a backup | ${followingCpuSeconds.toFixed(2)} |`,
    `| worker’s peak memory | ${(workerPeakBytes / 2 ** 20).toFixed(0)} MiB |`,
  ].join('\n');
}

/** Starts to count. The returned function counts the matching lines that were added to the file since then. */
async function countingLines(file: string, pattern: RegExp): Promise<() => Promise<number>> {
  const from = (await stat(file)).size;
  return async () => {
    const added = (await readFile(file)).subarray(from).toString('latin1');
    return added.split('\n').filter((line) => pattern.test(line)).length;
  };
}

const TABLES_AT_ONCE = 250;

async function createTables(url: string, tables: number): Promise<void> {
  for (let first = 0; first < tables; first += TABLES_AT_ONCE) {
    const last = Math.min(first + TABLES_AT_ONCE, tables) - 1;
    await sql(
      url,
      `DO $$ BEGIN FOR i IN ${first}..${last} LOOP
         EXECUTE format('CREATE TABLE t%s (id bigint PRIMARY KEY, name text NOT NULL, at timestamptz)', i);
         EXECUTE format('INSERT INTO t%s SELECT n, md5(n::text), timestamptz ''2026-01-01'' + n * interval ''1 hour''
           FROM generate_series(1, ${ROWS_PER_TABLE}) n', i);
       END LOOP; END $$`,
    );
  }
  await sql(url, 'ANALYZE');
  await sql(url, 'CHECKPOINT');
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
