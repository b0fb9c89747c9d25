import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { estimateBytes } from '../../engines/ycql/chunks.ts';
import { type CassandraCluster, startCassandra } from '../../parts/cassandra.ts';
import { openSession } from './compare.ts';
import { plainClient, run } from './zoo.ts';

/* Neither the nodes nor a worker hold more of large rows, or of many rows of one partition, than a few pages. */

let cluster: CassandraCluster;

beforeAll(async () => {
  // A row of 24 MiB needs a commit log whose segments are twice as large, and frames.
  cluster = await startCassandra({
    heap: '1G',
    durable: false,
    settings: {
      commitlog_segment_size: '64MiB',
      commitlog_total_space: '512MiB',
      native_transport_max_frame_size: '64MiB',
    },
  });
  await run(
    cluster,
    "CREATE KEYSPACE large WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    "CREATE TABLE large.cells (p int PRIMARY KEY, v blob) WITH compression = {'enabled': 'false'}",
    "CREATE TABLE large.mixed (p int PRIMARY KEY, v blob) WITH compression = {'enabled': 'false'}",
    'CREATE TABLE large.wide (p int, c int, v text, PRIMARY KEY (p, c))',
  );
});

afterAll(() => cluster?.stop());

const MEGABYTE = 1_048_576;
const CELLS = 250;
/** Values from 1 to 24 MiB. */
const MIXED_MIB = [1, 24, 2, 24, 24, 4, 12, 24, 1, 8, 24, 24, 16, 1, 24, 24, 3, 24];
const WIDE = 200_000;
/** Rows of 24 MiB, which no table should have, take more: each is in memory several times on its way. */
const [WORKER_BYTES, WORKER_BYTES_OF_24_MIB] = [512 * MEGABYTE, 800 * MEGABYTE];

test('the first page of an estimate asks for few rows, and pages grow by what they bring', async () => {
  await fillLarge('cells', Array(CELLS).fill(1));
  const session = await openSession(cluster);
  try {
    const { readTable } = await import('../../engines/ycql/catalog.ts');
    const { signal } = new AbortController();
    const table = await readTable(session, 'large', 'cells', signal);
    if (table === undefined) throw new Error('there is no table');
    const asked: { readonly rows: number; readonly bytes: number }[] = [];
    const page = session.page.bind(session);
    session.page = async (cql, params, request) => {
      const found = await page(cql, params, request);
      asked.push({ rows: request.pageRows, bytes: found.body.length });
      return found;
    };
    const bytes = await estimateBytes(session, 'large', table, ['"p"', '"v"'], signal);
    // Whatever it asked for could have come.
    expect(Math.max(...asked.map(({ rows }) => rows))).toBeLessThanOrEqual(4);
    expect(bytes).toBeGreaterThan(0.3 * CELLS * MEGABYTE);
    expect(bytes).toBeLessThan(3 * CELLS * MEGABYTE);
  } finally {
    await session.close();
  }
}, 300_000);

/** What the table holds, and how many rows that makes. */
const TABLES: Readonly<
  Record<string, { readonly rows: number; readonly parallelism: number; fill(): Promise<void> }>
> = {
  cells: { rows: CELLS, parallelism: 2, fill: () => Promise.resolve() },
  mixed: { rows: MIXED_MIB.length, parallelism: 2, fill: () => fillLarge('mixed', MIXED_MIB) },
  wide: { rows: WIDE, parallelism: 1, fill: fillWide },
};

test.each(Object.keys(TABLES))(
  'a worker that saves and restores %s two at once stays within its bound',
  async (table) => {
    await TABLES[table]?.fill();
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [join(__dirname, 'memory-worker.ts'), String(cluster.port), table],
      { env: { ...process.env, NODE_OPTIONS: '' }, maxBuffer: 1 << 24 },
    );
    const found = JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}');
    process.stdout.write(
      `memory of a worker, ${table}: ${Math.round(found.savedBytes / MEGABYTE)} MiB saving, ${Math.round(found.loadedBytes / MEGABYTE)} MiB loading, ${Math.round(found.peakBytes / MEGABYTE)} MiB comparing\n`,
    );
    expect(found).toMatchObject({ problems: [], rows: TABLES[table]?.rows });
    // All slots had work; one partition is the work of one.
    expect(Math.min(found.chunks, found.tasks)).toBeGreaterThanOrEqual(TABLES[table]?.parallelism ?? 2);
    expect(found.peakBytes).toBeLessThan(table === 'mixed' ? WORKER_BYTES_OF_24_MIB : WORKER_BYTES);
  },
  600_000,
);

/** Rows of these sizes, in MiB, that can't be compressed. */
async function fillLarge(table: string, sizes: readonly number[]): Promise<void> {
  const client = plainClient(cluster);
  try {
    for (const [p, size] of sizes.entries()) {
      const params = [p, randomBytes(size * MEGABYTE)];
      await client.execute(`INSERT INTO large.${table} (p, v) VALUES (?, ?)`, params, { prepare: true });
    }
  } finally {
    await client.shutdown();
  }
}

async function fillWide(): Promise<void> {
  const client = plainClient(cluster);
  try {
    const query = 'INSERT INTO large.wide (p, c, v) VALUES (1, ?, ?)';
    for (let c = 0; c < WIDE; c += 2_000) {
      await Promise.all(
        Array.from({ length: 40 }, (_, part) =>
          client.batch(
            Array.from({ length: 50 }, (_each, index) => ({
              query,
              params: [c + 50 * part + index, `value ${c + index} of a wide partition`],
            })),
            { prepare: true, logged: false },
          ),
        ),
      );
    }
  } finally {
    await client.shutdown();
  }
}
