import { createHash } from 'node:crypto';
import { int32, int64 } from '../../engines/ycql/bytes.ts';
import { readTable } from '../../engines/ycql/catalog.ts';
import { connect } from '../../engines/ycql/connect.ts';
import { BUCKETS, rangeBounds, selectStatement } from '../../engines/ycql/dialect.ts';
import { planReading, ttlOf } from '../../engines/ycql/reading.ts';
import { Writer } from '../../engines/ycql/restore/writer.ts';
import { rowsOf } from '../../engines/ycql/rows.ts';
import { scan } from '../../engines/ycql/scan.ts';
import type { CqlSession } from '../../engines/ycql/session.ts';
import { startCassandra } from '../../parts/cassandra.ts';
import type { DemoDatabase } from './database.ts';
import type { TableDigest } from './shop.ts';

const TABLES = ['customers', 'orders'];
const CUSTOMERS = 20_000;
const ORDERS = 180_000;
/** A third of the orders' notes expire after this time. */
const MONTH_SECONDS = 30 * 86_400;

/** The shop in Cassandra, for engine `ycql`. */
export async function startCassandraShop(): Promise<DemoDatabase> {
  const cluster = await startCassandra();
  const verb = { signal: new AbortController().signal, log: () => undefined };
  const load = { inFlightPerNode: 16, pageRows: 5_000 };
  const session = await connect(verb, cluster, { consistencyLevel: 'LOCAL_ONE', load });
  return {
    part: 'Cassandra (it stands in for YCQL)',
    contents: `the keyspace \`shop\`: ${CUSTOMERS + ORDERS} rows, each written at a time of its own, some of which expire`,
    source: `    ycql:
      contactPoints: [127.0.0.1]
      port: ${cluster.port}
      keyspaces: { include: [shop] }
      consistency: scan
      chunkSize: 2MiB`,
    environment: {},
    fill: () => fill(session),
    digests: (name) => Promise.all(TABLES.map((table) => digest(session, name, table))),
    async stop() {
      await session.close();
      await cluster.stop();
    },
  };
}

async function fill(session: CqlSession): Promise<void> {
  for (const statement of [
    "CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    'CREATE TYPE shop.address (street text, city text)',
    'CREATE TABLE shop.customers (id bigint PRIMARY KEY, name text, home address, tags set<text>)',
    'CREATE TABLE shop.orders (customer bigint, id bigint, state text, total double, note text, PRIMARY KEY (customer, id)) WITH CLUSTERING ORDER BY (id DESC)',
    'CREATE INDEX orders_by_state ON shop.orders (state)',
  ])
    await session.execute('make the shop', statement);
  const { signal } = new AbortController();
  const writer = new Writer(session, {
    doing: 'fill the shop',
    keyspace: 'shop',
    signal,
    log: () => undefined,
  });
  for (let id = 0; id < CUSTOMERS; id += 1) {
    const query = "INSERT INTO shop.customers (id, name, tags) VALUES (?, ?, {'new', 'shop'})";
    await writer.add([{ query, params: [int64(BigInt(id)), Buffer.from(`Customer ${id}`)] }]);
  }
  for (let id = 0; id < ORDERS; id += 1) {
    const query =
      'INSERT INTO shop.orders (customer, id, state, total, note) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?';
    const total = Buffer.alloc(8);
    total.writeDoubleBE(((id * 37) % 100_000) / 100);
    const written = BigInt(1_700_000_000_000_000 + id * 1_000);
    const key = [int64(BigInt(id % CUSTOMERS)), int64(BigInt(id))];
    const state = Buffer.from(['new', 'paid', 'shipped', 'returned'][id % 4] ?? '');
    const note = Buffer.from(`leave it at the door, floor ${id % 40}, and ring twice for order ${id}`);
    const ttl = int32(id % 3 === 0 ? MONTH_SECONDS : 0);
    await writer.add([{ query, params: [...key, state, total, note, int64(written), ttl] }]);
  }
  await writer.finish();
}

const MODULUS = 1n << 64n;

/** The sum of a hash for each row, over the bytes and the write time of every cell. */
async function digest(session: CqlSession, keyspace: string, name: string): Promise<TableDigest> {
  const { signal } = new AbortController();
  const table = await readTable(session, keyspace, name, signal);
  if (table === undefined) return { table: name, rows: '0', digest: 'missing' };
  const reading = await planReading(session, keyspace, table, 'auto', signal);
  const ttls = new Set([...table.statics, ...table.regulars].map((column) => ttlOf(column.name)));
  const selectors = reading.selectors.filter((selector) => !ttls.has(selector));
  const { product } = session.server;
  let [rows, sum] = [0, 0n];
  const pages = scan(session, {
    statement: selectStatement(product, keyspace, table, selectors),
    params: rangeBounds(product, 0, BUCKETS - 1),
    pageRows: 5_000,
    doing: `read ${name}`,
    signal,
    log: () => undefined,
  });
  for await (const page of pages) {
    for (const cells of rowsOf(page, selectors.length)) {
      const hash = createHash('sha256');
      for (const cell of cells) hash.update(int32(cell === null ? -1 : cell.length)).update(cell ?? '');
      sum = (sum + hash.digest().readBigUInt64BE(0)) % MODULUS;
      rows += 1;
    }
  }
  return { table: name, rows: String(rows), digest: String(sum) };
}
