import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createScratchFolder } from '../../parts/scratch.ts';
import { type CommandEnd, startHoldfast } from '../support/holdfast.ts';
import { query } from '../support/sql.ts';
import type { Cluster } from './cluster.ts';

/** What became of a backup or a restore during which a tablet server was killed. */
export interface KillOutcome {
  /** Absent: `ysql`. */
  readonly engine?: 'universe';
  /** Absent: a tablet server. */
  readonly killed?: 'agent' | 'worker';
  readonly during: 'backup' | 'restore';
  readonly survived: boolean;
  /** How it ended, or what is wrong with what it left. */
  readonly detail: string;
  readonly killedAfterMs?: number;
  readonly durationMs: number;
}

export const DATABASE = 'holdfast_kills';
export const COPY = 'holdfast_kills_copy';
/** The node that nobody is connected to by name: a third of the leaders are there. */
export const KILLED = 1;
/** Long enough for the nodes to notice (heartbeats stop counting after seconds) and for leaders to move. */
const DOWN_MS = 20_000;

export interface KillOptions {
  readonly rows: number;
  readonly say: (line: string) => void;
  /** What an agent may send or fetch in a second, e.g. `4MiB`: so that a transfer lasts long enough to be disturbed. */
  readonly bytesPerSecond?: string;
  /** How long what was killed stays down. */
  readonly downMs?: number;
}

/** Backs a database up and restores it beside, and kills a tablet server in the middle of each; then both are compared, row by row. */
export async function killDuringRuns(
  cluster: Cluster,
  options: KillOptions,
): Promise<readonly KillOutcome[]> {
  const scratch = await createScratchFolder('matrix-kills');
  const environment = {
    ...cluster.environment,
    KILLS_DATABASE_URL: cluster.ysql(DATABASE),
    HOLDFAST_STATE_DIR: path.join(scratch.path, 'state'),
  };
  const plan = path.join(scratch.path, 'kills.yaml');
  const repository = path.join(scratch.path, 'repository');
  await mkdir(repository);
  await writeFile(plan, planText(repository));
  await dropAll(cluster);
  try {
    await fill(cluster, options.rows);
    const wanted = await contents(cluster, DATABASE);
    const backup = await withKill(tserverOf(cluster), options, 'backup', {
      args: ['backup', plan, '--json'],
      environment,
      // Some objects are there, so rows are on their way.
      isUnderWay: async () => (await filesIn(repository, /\/data\//)) >= 2,
      judge: async () => undefined,
    });
    if (!backup.survived) return [backup];
    const restore = await withKill(tserverOf(cluster), options, 'restore', {
      args: ['restore', plan, '--into', COPY, '--json'],
      environment,
      isUnderWay: async () => (await rowsIn(cluster, COPY)) > 0,
      judge: async () => {
        const found = await contents(cluster, COPY);
        return found === wanted ? undefined : `the copy differs: ${found} instead of ${wanted}`;
      },
    });
    return [backup, restore];
  } finally {
    await dropAll(cluster);
    await scratch.remove();
  }
}

/** A command during which something is killed. */
export interface Run {
  readonly args: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly isUnderWay: () => Promise<boolean>;
  /** What is wrong with the result; undefined where nothing is. */
  readonly judge: () => Promise<string | undefined>;
}

/** What is killed, and started again. */
export interface Victim {
  /** For people. */
  readonly what: string;
  kill9(): Promise<void>;
  restart(): Promise<void>;
}

export const tserverOf = (cluster: Cluster): Victim => ({
  what: `tablet server ${KILLED + 1}`,
  kill9: () => cluster.killTserver(KILLED),
  restart: () => cluster.startTserver(KILLED),
});

/** Runs a command, kills the victim in the middle of it, starts it again, and judges the command's end. */
export async function withKill(
  victim: Victim,
  { say, downMs = DOWN_MS }: KillOptions,
  during: KillOutcome['during'],
  run: Run,
): Promise<KillOutcome> {
  const began = Date.now();
  const command = startHoldfast(run.args, run.environment);
  let ended: CommandEnd | undefined;
  const end = command.end.then((value) => {
    ended = value;
    return value;
  });
  while (ended === undefined && !(await soon(run.isUnderWay))) await sleep(100);
  const isInTime = ended === undefined;
  const killedAfterMs = Date.now() - began;
  if (isInTime) {
    say(`killing ${victim.what}, ${killedAfterMs} ms into the ${during}`);
    await victim.kill9();
    await Promise.race([end, sleep(downMs)]);
    await victim.restart();
  }
  const { code, stdout, stderr } = await end;
  const durationMs = Date.now() - began;
  const outcome = { during, killedAfterMs, durationMs };
  if (!isInTime) {
    return {
      ...outcome,
      survived: false,
      detail: `it ended before it could be disturbed (exit code ${code}): ${stdout.trim() || stderr.trim()}`,
    };
  }
  if (code !== 0)
    return { ...outcome, survived: false, detail: `exit code ${code}: ${stdout.trim() || stderr.trim()}` };
  const problem = await run.judge();
  return { ...outcome, survived: problem === undefined, detail: problem ?? 'ended well' };
}

/** False while the answer can't be had: the database isn't there yet, or its table. The end of the run ends the asking. */
async function soon(ask: () => Promise<boolean>): Promise<boolean> {
  try {
    return await ask();
  } catch {
    return false;
  }
}

function planText(repository: string): string {
  return `apiVersion: holdfast/v1
kind: Repository
metadata: { name: kills-backups }
spec: { directory: ${repository} }
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: kills }
spec:
  source: { ysql: { connection: { env: KILLS_DATABASE_URL }, chunkSize: 1MiB } }
  repository: kills-backups
`;
}

export async function fill(cluster: Cluster, rows: number): Promise<void> {
  await query(cluster.ysql('yugabyte'), `CREATE DATABASE ${DATABASE}`);
  await query(
    cluster.ysql(DATABASE),
    'CREATE TABLE t (id bigint PRIMARY KEY, v text)',
    'CREATE INDEX t_by_v ON t (v)',
  );
  await inBatches(
    cluster,
    rows,
    (from, to) =>
      `INSERT INTO t SELECT i, md5(i::text) || repeat(md5((i + 1)::text), 8) FROM generate_series(${from}, ${to}) i`,
  );
}

/** Changes every row, so that there are new files to back up. */
export async function change(cluster: Cluster, rows: number): Promise<void> {
  await inBatches(
    cluster,
    rows,
    (from, to) => `UPDATE t SET v = v || '.' WHERE id BETWEEN ${from} AND ${to}`,
  );
}

/** One transaction of a distributed database is slow when it is large. */
async function inBatches(
  cluster: Cluster,
  rows: number,
  statementOf: (from: number, to: number) => string,
): Promise<void> {
  for (let from = 0; from < rows; from += 20_000) {
    await query(cluster.ysql(DATABASE), statementOf(from, Math.min(rows, from + 20_000) - 1));
  }
}

export async function contents(cluster: Cluster, database: string): Promise<string> {
  const [found] = await query(
    cluster.ysql(database),
    "SELECT count(*) || ' rows, sum ' || coalesce(sum(('x' || left(md5(t::text), 8))::bit(32)::bigint), 0) AS sum FROM t",
  );
  return String(found?.sum);
}

async function rowsIn(cluster: Cluster, database: string): Promise<number> {
  const [found] = await query(cluster.ysql(database), 'SELECT count(*)::int AS rows FROM t');
  return Number(found?.rows ?? 0);
}

async function filesIn(folder: string, pattern: RegExp): Promise<number> {
  const names = await readdir(folder, { recursive: true });
  return names.filter((name) => pattern.test(`/${name}/`)).length;
}

export async function dropAll(cluster: Cluster): Promise<void> {
  for (const name of [DATABASE, COPY]) {
    await query(cluster.ysql('yugabyte'), `DROP DATABASE IF EXISTS ${name}`);
  }
}
