import { Client } from 'pg';
import type { RestoreContext } from '../../../engines/engine.ts';
import { ysqlEngine } from '../../../engines/ysql/engine.ts';
import { replayDatabase } from '../../../engines/ysql/restore/replay.ts';
import { isoOfMicros, type StoredSegment } from '../../../model/archive.ts';
import { type PostgresServer, startPostgres } from '../../../parts/postgres.ts';
import { forEachBounded } from '../../../repository/bounded.ts';
import { Dice } from '../../crash/dice.ts';
import { query } from '../../support/sql.ts';
import {
  createRepository,
  restoreContext,
  type TestBackup,
  type TestRepository,
  takeBackup,
  ysqlSource,
} from '../harness.ts';
import { beginArchive, type TestArchive } from './record.ts';
import { type Commit, hashTables, WrittenSource } from './source.ts';

const DATABASE = 'past';

/** A source with a past, its bases and its archive. */
export interface World {
  readonly postgres: PostgresServer;
  readonly repository: TestRepository;
  readonly archive: TestArchive;
  readonly commits: readonly Commit[];
  readonly bases: readonly TestBackup[];
  readonly segments: readonly StoredSegment[];
  stop(): Promise<void>;
}

export interface WorldSize {
  readonly seed: number;
  readonly transactions: number;
  readonly bases: number;
}

/** Writes, backs up amid open transactions, writes on, and archives all of it. */
export async function makeWorld({ seed, transactions, bases: wanted }: WorldSize): Promise<World> {
  const [postgres, repository] = await Promise.all([
    startPostgres({ settings: { wal_level: 'logical', track_commit_timestamp: 'on' } }),
    createRepository(),
  ]);
  let written: WrittenSource | undefined;
  const stop = async () => {
    await written?.close();
    await postgres.stop();
    await repository.remove();
  };
  try {
    await query(postgres.url(), `CREATE DATABASE ${DATABASE}`);
    const url = postgres.url(DATABASE);
    const writing = await WrittenSource.create(url, seed);
    written = writing;
    const dice = new Dice(seed + 1);
    const archive = await beginArchive(url, repository.store, { plan: 'zoo', database: DATABASE });
    const bases: TestBackup[] = [];
    const segments: StoredSegment[] = [];
    const part = Math.ceil(transactions / (wanted + 1));
    for (let base = 0; base < wanted; base += 1) {
      await writing.write(part);
      bases.push(
        await takeBackup(repository, url, ysqlSource(), () => writing.write(5, { truncates: false })),
      );
      segments.push(...(await archive.record(dice)));
    }
    await writing.write(part);
    segments.push(...(await archive.record(dice)));
    return { postgres, repository, archive, commits: writing.commits, bases, segments, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** What one instant came to. */
export interface InstantOutcome {
  readonly instant: string;
  /** Index of the last commit that belongs to it; -1 for none. */
  readonly commit: number;
  readonly transactions: number;
  /** Tables that differ from the source as it was; empty where all are equal. */
  readonly differences: readonly string[];
}

/** Instants just at, before and between commits, and at the base itself. */
export function anyInstant(world: World, base: TestBackup, dice: Dice): number {
  const from = seenByMicros(base);
  const commits = world.commits.filter(({ micros }) => micros > from);
  const { micros } = dice.pick(commits);
  // The last commit is the end of what the archive has.
  const last = commits.at(-1)?.micros ?? from;
  return Math.min(
    last,
    Math.max(from, micros + dice.pick([-1, 0, 1, Math.floor(dice.between(-3000, 3000))])),
  );
}

export function seenByMicros({ readPoint }: TestBackup): number {
  if (readPoint.kind !== 'pg-snapshot' || readPoint.place === undefined)
    throw new Error('the base has no place');
  const [, fraction = ''] = /\.(\d{6})Z$/.exec(readPoint.place.seenBy) ?? [];
  return Date.parse(readPoint.place.seenBy) * 1000 + Number(fraction.slice(3));
}

/** The last commit before the first one that is later than the instant. */
export function lastCommitAt(commits: readonly Commit[], instant: number): number {
  const first = commits.findIndex(({ micros }) => micros > instant);
  return (first < 0 ? commits.length : first) - 1;
}

export function contextOf(world: World, base: TestBackup, instant: number, into: string) {
  return restoreContext(base, world.postgres.url(), {
    into: { [DATABASE]: into },
    check: 'rows',
    replay: { to: isoOfMicros(instant), timelines: { [DATABASE]: world.archive.timeline.id } },
  });
}

/** A restored base to which replays are applied in copies. */
export async function restoreBase(world: World, base: TestBackup) {
  const context = contextOf(world, base, seenByMicros(base), 'unused');
  const { restore } = ysqlEngine;
  const plan = await restore.plan(context);
  await restore.prepare(context);
  for (let task = 0; task < plan.tasks; task += 1) await restore.load(context, task);
  for (const [wave, units] of plan.postDataWaves.entries()) {
    await forEachBounded(Array(units).keys(), 2, (unit) => restore.postData(context, { wave, unit, units }));
  }
  return context;
}

/** How a replay is run: in this process, or in one that is killed now and then. */
export type RunReplay = (context: RestoreContext, database: string) => Promise<unknown>;

/** Replays to an instant in a copy of the restored base, and compares every table with the source as it was. */
export async function tryInstant(
  world: World,
  base: TestBackup,
  restored: RestoreContext,
  instant: number,
  run: RunReplay = replayDatabase,
): Promise<InstantOutcome> {
  const { postgres } = world;
  const [from] = await query(
    postgres.url(),
    `SELECT datname AS name FROM pg_database WHERE datname LIKE '%${restored.request.restore}%'`,
  );
  const copy = `copy_${instant}`;
  await query(postgres.url(), `DROP DATABASE IF EXISTS "${copy}" WITH (FORCE)`);
  await waitForNobody(postgres.url(), String(from?.name));
  await query(postgres.url(), `CREATE DATABASE "${copy}" TEMPLATE "${from?.name}"`);
  const context = contextOf(world, base, instant, copy);
  // The copy is of the restore whose bookkeeping it has.
  const ours = { ...context, request: { ...context.request, restore: restored.request.restore } };
  await run(ours, DATABASE);
  // It has come to its end already, so this tells what it did.
  const report = await replayDatabase(ours, DATABASE);
  const commit = lastCommitAt(world.commits, instant);
  const differences = await compare(postgres.url(copy), world.commits[commit]);
  await query(postgres.url(), `DROP DATABASE "${copy}" WITH (FORCE)`);
  return { instant: isoOfMicros(instant), commit, transactions: report.transactions, differences };
}

/** Tables of the database that differ from the source as it was after `commit`. */
export async function compare(url: string, commit: Commit | undefined): Promise<readonly string[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const hashes = await hashTables(client);
    const expected = commit?.hashes ?? {};
    return Object.keys(hashes)
      .filter((table) => hashes[table] !== expected[table])
      .map((table) => `${table}: ${hashes[table]} instead of ${expected[table]}`);
  } finally {
    await client.end();
  }
}

/** A database can be copied only while nobody is in it; sessions of the restore stay a while for their next use. */
async function waitForNobody(url: string, database: string): Promise<void> {
  await query(url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}'`);
  for (let tries = 0; tries < 100; tries += 1) {
    const rows = await query(url, `SELECT FROM pg_stat_activity WHERE datname = '${database}'`);
    if (rows.length === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`database ${database} stays in use`);
}
