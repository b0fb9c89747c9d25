import { delimiter } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { RestoreContext } from '../../../engines/engine.ts';
import { ysqlEngine } from '../../../engines/ysql/engine.ts';
import { replayDatabase } from '../../../engines/ysql/restore/replay.ts';
import { archiveName } from '../../../engines/ysql/server/archive-names.ts';
import { isoOfMicros, type StoredSegment } from '../../../model/archive.ts';
import { HoldfastError } from '../../../model/errors.ts';
import type { ReplayReport } from '../../../model/replay.ts';
import { type PostgresServer, type PostgresVersion, startPostgres } from '../../../parts/postgres.ts';
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
import { startYugabyteStandIn } from '../yugabyte-stand-in.ts';
import { QUICK } from './archiver.ts';
import { ProductArchive } from './product-archive.ts';
import { beginArchive } from './record.ts';
import { type Alteration, type Commit, hashTables, type SourceProduct, WrittenSource } from './source.ts';

const [PLAN, DATABASE] = ['zoo', 'past'];

/** A source with a past, its bases and its archive. */
export interface World {
  readonly product: SourceProduct;
  /** PostgreSQL itself, which may pass for YugabyteDB. */
  readonly postgres: Pick<PostgresServer, 'url' | 'binDirectory'>;
  /** As the product is reached. */
  url(database?: string): string;
  readonly repository: TestRepository;
  readonly commits: readonly Commit[];
  readonly bases: readonly TestBackup[];
  /** By base: the timeline that it was made in. */
  readonly timelines: ReadonlyMap<TestBackup, string>;
  readonly segments: readonly StoredSegment[];
  stop(): Promise<void>;
}

export interface WorldSize {
  readonly seed: number;
  readonly transactions: number;
  readonly bases: number;
  /** Of PostgreSQL. Default 15. */
  readonly version?: PostgresVersion;
  /** YugabyteDB is the stand-in of line 2026.1, and captured by the product. Default PostgreSQL. */
  readonly product?: SourceProduct;
  /** `product`: by the product's own capture, beside the writers. Default: by the test alone, in segments of any size. */
  readonly capture?: 'product' | 'test';
  /** With the product's capture: before each base but the first, and after the last, the schema is altered. */
  readonly alterations?: readonly Alteration[];
}

/** How changes come into the archive. */
interface Archiving {
  /** Stores what was committed until now. Returns the timeline's id. @param commit as in `ProductArchive` */
  catchUp(commit?: () => Promise<void>): Promise<string>;
  /** Waits for the timeline after this one, which an alteration must begin. Whether one has begun. */
  renewed(timeline: string): Promise<boolean>;
  segments(): Promise<readonly StoredSegment[]>;
  stop(): Promise<void>;
}

/** An archive looks at the schema each half second, and between with most segments. */
const LOOKED_AT_WITHIN_MS = 1_200;
const RENEWED_WITHIN_MS = 8_000;

async function beginArchiving(
  url: string,
  repository: TestRepository,
  { seed, capture, product }: WorldSize,
): Promise<Archiving> {
  const id = { plan: PLAN, database: DATABASE };
  if (capture === 'product') {
    // The stand-in may say nothing for seconds, though it has something to say; a stream that is begun anew would make it begin anew.
    const rhythm = product === 'yugabytedb' ? { ...QUICK, idleMs: 60_000 } : QUICK;
    const archive = new ProductArchive(url, repository, id, rhythm);
    await archive.begun();
    return {
      catchUp: async (commit) => (await archive.catchUp(commit)).timeline.id,
      renewed: (timeline) => archive.renewed(timeline, RENEWED_WITHIN_MS),
      segments: async () => (await archive.timelines()).flatMap(({ segments }) => segments),
      stop: () => archive.stop(),
    };
  }
  const archive = await beginArchive(url, repository.store, id);
  const dice = new Dice(seed + 1);
  const segments: StoredSegment[] = [];
  return {
    async catchUp() {
      segments.push(...(await archive.record(dice)));
      return archive.timeline.id;
    },
    renewed: () => Promise.resolve(false),
    segments: () => Promise.resolve(segments),
    stop: () => Promise.resolve(),
  };
}

/**
 * Writes, backs up amid open transactions, writes on, and archives all of it. Of another version than 15, its client programs come
 * onto PATH behind the installed ones.
 */
export async function makeWorld(size: WorldSize): Promise<World> {
  const { seed, transactions, bases: wanted, version = 15, product = 'postgresql', alterations = [] } = size;
  const [server, repository] = await Promise.all([startSource(product, version), createRepository()]);
  const { postgres } = server;
  if (version !== 15) process.env.PATH = `${process.env.PATH}${delimiter}${postgres.binDirectory}`;
  const parts = new AsyncDisposableStack();
  parts.defer(() => repository.remove());
  parts.defer(() => server.stop());
  try {
    await query(postgres.url(), `CREATE DATABASE ${DATABASE}`);
    const url = server.url(DATABASE);
    const writing = await WrittenSource.create(url, seed, product);
    parts.defer(() => writing.close());
    const archiving = await beginArchiving(url, repository, size);
    parts.defer(() => archiving.stop());
    const bases: TestBackup[] = [];
    const timelines = new Map<TestBackup, string>();
    const part = Math.ceil(transactions / (wanted + 1));
    const catchUp = () => archiving.catchUp(product === 'yugabytedb' ? () => writing.touch() : undefined);
    const alter = async (alteration: Alteration | undefined) => {
      if (alteration === undefined) return;
      await writing.endAll();
      const timeline = await catchUp();
      await sleep(LOOKED_AT_WITHIN_MS);
      await writing.alter(alteration, archiveName(PLAN, DATABASE));
      await writing.write(Math.ceil(part / 4));
      // The next timeline's slot waits for the transactions that are open.
      await writing.endAll();
      // Where the archive doesn't see it, the instants that are tried show what comes of that.
      await archiving.renewed(timeline);
    };
    for (let base = 0; base < wanted; base += 1) {
      await writing.write(part);
      if (base > 0) await alter(alterations[base - 1]);
      const backup = await takeBackup(repository, url, ysqlSource(), () =>
        writing.write(5, { truncates: false }),
      );
      bases.push(backup);
      timelines.set(backup, await catchUp());
    }
    await writing.write(part);
    await alter(alterations[wanted - 1]);
    await catchUp();
    const segments = await archiving.segments();
    return {
      ...{ product, postgres, url: server.url },
      repository,
      commits: writing.commits,
      bases,
      timelines,
      segments,
      stop: () => parts.disposeAsync(),
    };
  } catch (error) {
    await parts.disposeAsync();
    throw error;
  }
}

interface StartedSource {
  readonly postgres: Pick<PostgresServer, 'url' | 'binDirectory'>;
  url(database?: string): string;
  stop(): Promise<void>;
}

/** The slot of a timeline that ended stays in use for so long; YugabyteDB has minutes. */
const ACTIVE_WINDOW_MS = 300;

async function startSource(product: SourceProduct, version: PostgresVersion): Promise<StartedSource> {
  if (product === 'postgresql') {
    const settings = { wal_level: 'logical', track_commit_timestamp: 'on' };
    const postgres = await startPostgres({ version, settings });
    return { postgres, url: postgres.url, stop: () => postgres.stop() };
  }
  const standIn = await startYugabyteStandIn('2026.1', { replication: { activeWindowMs: ACTIVE_WINDOW_MS } });
  return {
    postgres: standIn.server,
    url: (database = 'postgres') => standIn.url(database),
    stop: () => standIn.stop(),
  };
}

/** What one instant came to. */
export interface InstantOutcome {
  readonly instant: string;
  /** Index of the last commit that belongs to it; -1 for none. */
  readonly commit: number;
  readonly transactions: number;
  /** Tables that differ from the source as it was; empty where all are equal. */
  readonly differences: readonly string[];
  /** Code of the error with which the instant was refused. */
  readonly refused?: string;
}

/** Instants just at, before and between commits, and at the base itself. */
export function anyInstant(world: World, base: TestBackup, dice: Dice): number {
  const from = seenByMicros(base);
  const after = world.commits.filter(({ micros }) => micros > from);
  const altered = after.findIndex(({ alteration }) => alteration !== undefined);
  // Few that have to be refused.
  const commits = altered > 0 && dice.chance(0.9) ? after.slice(0, altered) : after;
  const { micros } = dice.pick(commits);
  // The last commit is the end of what the archive has. On YugabyteDB more may commit in its microsecond, so that isn't offered.
  const last = (after.at(-1)?.micros ?? from) - (world.product === 'yugabytedb' ? 1 : 0);
  return Math.min(
    last,
    Math.max(from, micros + dice.pick([-1, 0, 1, Math.floor(dice.between(-3000, 3000))])),
  );
}

export function seenByMicros({ readPoint }: TestBackup): number {
  if (readPoint.kind === 'yb-read-time') return Number(readPoint.micros);
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
  return restoreContext(base, world.url(), {
    into: { [DATABASE]: into },
    check: 'rows',
    replay: { to: isoOfMicros(instant), timelines: { [DATABASE]: world.timelines.get(base) ?? '' } },
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

/** How an instant that can't be had is refused. */
const REFUSALS: ReadonlySet<string> = new Set(['ARCHIVE_NO_CHAIN', 'REPLAY_SCHEMA_CHANGED']);

/** An instant may be refused only where the schema was altered between the base and it. */
function unlawful(world: World, base: TestBackup, instant: number, code: string): readonly string[] {
  const altered = world.commits.findIndex(
    ({ alteration, micros }) => alteration !== undefined && micros > seenByMicros(base),
  );
  const lastBefore = world.commits[altered - 1]?.micros ?? Number.POSITIVE_INFINITY;
  return instant > lastBefore && altered >= 0 ? [] : [`refused (${code}), and nothing was altered before it`];
}

/** How a replay is run: in this process, or in one that is killed now and then. */
export type RunReplay = (context: RestoreContext, database: string) => Promise<ReplayReport | undefined>;

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
  let report: ReplayReport;
  try {
    // Where another process has replayed it, this tells what that did.
    report = (await run(ours, DATABASE)) ?? (await replayDatabase(ours, DATABASE));
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    await query(postgres.url(), `DROP DATABASE "${copy}" WITH (FORCE)`);
    const found = {
      instant: isoOfMicros(instant),
      commit: lastCommitAt(world.commits, instant),
      transactions: 0,
    };
    if (REFUSALS.has(error.code)) {
      return { ...found, differences: unlawful(world, base, instant, error.code), refused: error.code };
    }
    return { ...found, differences: [`failed with ${error.code}: ${error.message}`] };
  }
  const commit = lastCommitAt(world.commits, instant);
  const differences = await differencesOf(world, copy, instant, world.commits[commit]);
  await query(postgres.url(), `DROP DATABASE "${copy}" WITH (FORCE)`);
  return { instant: isoOfMicros(instant), commit, transactions: report.transactions, differences };
}

/**
 * On YugabyteDB a commit's own time is not known to its writer, but two between which it lies: where the instant lies between them, the commit may be in
 * or not. The source is not asked for its past, since the PostgreSQL behind the stand-in forgets what was in a table that is written anew.
 */
async function differencesOf(
  world: World,
  copy: string,
  instant: number,
  commit: Commit | undefined,
): Promise<readonly string[]> {
  const restored = world.postgres.url(copy);
  const differences = await compare(restored, commit);
  if (world.product === 'postgresql' || differences.length === 0) return differences;
  const surely = world.commits.findLastIndex(({ untilMicros = 0 }) => untilMicros <= instant);
  const latest = lastCommitAt(world.commits, instant);
  for (let index = surely; index < latest; index += 1) {
    if ((await compare(restored, world.commits[index])).length === 0) return [];
  }
  return differences;
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
