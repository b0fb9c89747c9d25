import { fork } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { getPriority, setPriority } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { startPostgres } from '../parts/postgres.ts';
import { startS3Gateway } from '../parts/s3.ts';
import { createScratchFolder } from '../parts/scratch.ts';
import type { AgentErrand, AgentOutcome } from './universe-agent.ts';
import { FILES_PER_TABLET, locationIn, writeTablets } from './universe-node.ts';

export interface LatencyFigures {
  readonly rows: readonly {
    readonly what: string;
    readonly queries: number;
    readonly p50Ms: number;
    readonly p99Ms: number;
    readonly maxMs: number;
    /** The agent's rate meanwhile; absent at rest. */
    readonly bytesPerSecond?: number;
    readonly agentPeakBytes?: number;
  }[];
}

/** 2 GB in files of 1 MB. */
const BYTES = 2e9;
const FILE_BYTES = 1e6;
const ROWS = 200_000;
const QUERY_EVERY_MS = 5;
const SESSIONS = 8;
const REST_MS = 10_000;
const LIMITED = { bytesPerSecond: 50e6, seconds: 10 } as const;
/** The priority with which `deploy/systemd` runs the agent. */
const NICE = 10;

/**
 * Measures how the agent slows down a database on the same machine. PostgreSQL, as used behind the simulated universe, answers
 * queries for single rows by key at an even pace: at rest, and while the agent of its node sends files to an S3 gateway.
 * Everything runs on one machine.
 */
export async function benchLatency(scale: number, say: (line: string) => void): Promise<LatencyFigures> {
  await using cleanUp = new AsyncDisposableStack();
  const scratch = await createScratchFolder('bench-universe');
  cleanUp.defer(() => scratch.remove());
  const database = await startPostgres();
  cleanUp.defer(() => database.stop());
  const client = new pg.Pool({ connectionString: database.url(), min: SESSIONS, max: SESSIONS });
  // A closing session gets an error when the server stops.
  client.on('error', () => undefined);
  cleanUp.defer(() => client.end());
  await client.query('CREATE TABLE t (id int PRIMARY KEY, line text)');
  await client.query(`INSERT INTO t SELECT n, repeat(md5(n::text), 8) FROM generate_series(1, ${ROWS}) n`);
  const buckets = join(scratch.path, 'buckets');
  const gateway = await startS3Gateway({ directory: buckets });
  cleanUp.defer(() => gateway.stop());
  const disk = join(scratch.path, 'disk');
  const files = Math.ceil((BYTES * scale) / FILE_BYTES / FILES_PER_TABLET) * FILES_PER_TABLET;
  say(`writing ${files} files of ${FILE_BYTES} bytes …`);
  const tablets = await writeTablets(disk, files, FILE_BYTES);

  const rows: LatencyFigures['rows'][number][] = [];
  const measure = async (what: string, until: Promise<AgentOutcome | undefined>, bytes: number) => {
    say(`${what} …`);
    const [latencies, outcome] = await Promise.all([askUntil(client, until), until]);
    rows.push({
      what,
      queries: latencies.length,
      p50Ms: quantile(latencies, 0.5),
      p99Ms: quantile(latencies, 0.99),
      maxMs: quantile(latencies, 1),
      ...(outcome === undefined
        ? {}
        : { bytesPerSecond: bytes / outcome.seconds, agentPeakBytes: outcome.peakBytes }),
    });
  };
  const send = async (errand: Pick<AgentErrand, 'backup' | 'tablets' | 'bytesPerSecond'>) => {
    await gateway.createBucket(errand.backup);
    const location = locationIn(gateway, errand.backup);
    const stateDirectory = join(scratch.path, `state-${errand.backup}`);
    return runAgent({ ...errand, disk, location, stateDirectory });
  };
  await measure('at rest', sleep(REST_MS, undefined), 0);
  await measure(
    'the agent sends, without a limit',
    send({ backup: 'unlimited', tablets }),
    files * FILE_BYTES,
  );
  await rm(join(buckets, 'unlimited'), { recursive: true });
  const { bytesPerSecond, seconds } = LIMITED;
  const some = tablets.slice(0, Math.ceil((bytesPerSecond * seconds) / FILE_BYTES / FILES_PER_TABLET));
  await measure(
    `the agent sends, bytesPerSecondPerNode: ${bytesPerSecond / 1e6}MB`,
    send({ backup: 'limited', tablets: some, bytesPerSecond }),
    some.length * FILES_PER_TABLET * FILE_BYTES,
  );
  return { rows };
}

async function runAgent(errand: AgentErrand): Promise<AgentOutcome> {
  const child = fork(fileURLToPath(new URL('universe-agent.ts', import.meta.url)));
  setPriority(child.pid ?? 0, getPriority() + NICE);
  child.send(errand);
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the agent ended with ${code}`);
  });
  const [outcome] = (await Promise.race([once(child, 'message'), ended])) as [AgentOutcome];
  ended.catch(() => undefined);
  return outcome;
}

/** Returns the latencies of queries that start at an even pace, however long earlier ones take. */
async function askUntil(client: pg.Pool, until: Promise<unknown>): Promise<readonly number[]> {
  const latencies: number[] = [];
  const asked: Promise<void>[] = [];
  let isOver = false;
  const over = until.finally(() => {
    isOver = true;
  });
  const startedAt = performance.now();
  for (let count = 0; !isOver; count += 1) {
    const dueAt = startedAt + count * QUERY_EVERY_MS;
    const waitMs = dueAt - performance.now();
    if (waitMs > 0) await sleep(waitMs);
    const id = 1 + ((count * 7_919) % ROWS);
    asked.push(
      client.query('SELECT line FROM t WHERE id = $1', [id]).then(() => {
        // Measured from when the query was due, so that a late client can't hide a delay.
        latencies.push(performance.now() - dueAt);
      }),
    );
  }
  await Promise.all(asked);
  await over;
  return latencies;
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
