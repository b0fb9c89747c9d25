import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createScratchFolder } from '../../parts/scratch.ts';
import { type CommandEnd, startHoldfast } from '../support/holdfast.ts';
import { query } from '../support/sql.ts';
import type { Cluster } from './cluster.ts';

/** What became of a backup or a restore during which a tablet server was killed. */
export interface KillOutcome {
  readonly during: 'backup' | 'restore';
  readonly survived: boolean;
  /** How it ended, or what is wrong with what it left. */
  readonly detail: string;
  readonly killedAfterMs?: number;
  readonly durationMs: number;
}

const DATABASE = 'holdfast_kills';
const COPY = 'holdfast_kills_copy';
/** The node that nobody is connected to by name: a third of the leaders are there. */
const KILLED = 1;
/** Long enough for the nodes to notice (heartbeats stop counting after seconds) and for leaders to move. */
const DOWN_MS = 20_000;

export interface KillOptions {
  readonly rows: number;
  readonly say: (line: string) => void;
  /** How long the tablet server stays down. */
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
    const backup = await withKill(cluster, options, 'backup', {
      args: ['backup', plan, '--json'],
      environment,
      // Some objects are there, so rows are on their way.
      isUnderWay: async () => (await filesIn(repository, /\/data\//)) >= 2,
      judge: async () => undefined,
    });
    if (!backup.survived) return [backup];
    const restore = await withKill(cluster, options, 'restore', {
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

interface Run {
  readonly args: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly isUnderWay: () => Promise<boolean>;
  /** What is wrong with the result; undefined where nothing is. */
  readonly judge: () => Promise<string | undefined>;
}

async function withKill(
  cluster: Cluster,
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
    say(`killing tablet server ${KILLED + 1}, ${killedAfterMs} ms into the ${during}`);
    await cluster.killTserver(KILLED);
    await Promise.race([end, sleep(downMs)]);
    await cluster.startTserver(KILLED);
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

async function fill(cluster: Cluster, rows: number): Promise<void> {
  await query(cluster.ysql('yugabyte'), `CREATE DATABASE ${DATABASE}`);
  await query(
    cluster.ysql(DATABASE),
    'CREATE TABLE t (id bigint PRIMARY KEY, v text)',
    'CREATE INDEX t_by_v ON t (v)',
  );
  // In batches, for one transaction of a distributed database is slow when it is large.
  for (let from = 0; from < rows; from += 20_000) {
    const to = Math.min(rows, from + 20_000) - 1;
    await query(
      cluster.ysql(DATABASE),
      `INSERT INTO t SELECT i, md5(i::text) || repeat(md5((i + 1)::text), 8) FROM generate_series(${from}, ${to}) i`,
    );
  }
}

async function contents(cluster: Cluster, database: string): Promise<string> {
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

async function dropAll(cluster: Cluster): Promise<void> {
  for (const name of [DATABASE, COPY]) {
    await query(cluster.ysql('yugabyte'), `DROP DATABASE IF EXISTS ${name}`);
  }
}
