import { int32 } from '../engines/ycql/bytes.ts';
import { readTable } from '../engines/ycql/catalog.ts';
import { rangeBounds, selectStatement } from '../engines/ycql/dialect.ts';
import { planReading } from '../engines/ycql/reading.ts';
import { Writer } from '../engines/ycql/restore/writer.ts';
import { scan } from '../engines/ycql/scan.ts';
import type { CqlSession } from '../engines/ycql/session.ts';
import type { Taken } from './ycql-peers.ts';

export const KEYSPACE = 'bench';
export const TABLE = 'orders';
const RANGES = 8;

/** Fills a table of orders with text of words, numbers, times and identifiers; deterministic except for the write times. */
export async function fill(session: CqlSession, rows: number): Promise<void> {
  await session.execute(
    'create',
    `CREATE KEYSPACE ${KEYSPACE} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
  );
  await session.execute(
    'create',
    `CREATE TABLE ${KEYSPACE}.${TABLE} (id bigint PRIMARY KEY, customer bigint, state text, total double, placed_at timestamp, receipt uuid, comment text, details text, gift boolean)`,
  );
  const query = `INSERT INTO ${KEYSPACE}.${TABLE} (id, customer, state, total, placed_at, receipt, comment, details, gift) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`;
  const writer = new Writer(session, {
    doing: 'fill',
    keyspace: KEYSPACE,
    signal: new AbortController().signal,
    log: () => undefined,
  });
  let state = 1;
  const next = () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state;
  };
  const words = Array.from({ length: 2_048 }, () =>
    next()
      .toString(36)
      .slice(0, 3 + (state % 6)),
  );
  const some = (count: number) => Array.from({ length: count }, () => words[next() % words.length]).join(' ');
  const bytes = (value: bigint) => {
    const buffer = Buffer.alloc(8);
    buffer.writeBigInt64BE(value);
    return buffer;
  };
  for (let row = 0; row < rows; row += 1) {
    const total = Buffer.alloc(8);
    total.writeDoubleBE((next() % 1_000_000) / 100);
    const receipt = Buffer.concat([int32(next() | 0), int32(row), int32(next() | 0), int32(next() | 0)]);
    const details = JSON.stringify({
      sku: `${some(1)}-${row % 9_973}`,
      qty: 1 + (row % 9),
      shelf: { row: row % 40, col: some(1) },
    });
    await writer.add([
      {
        query,
        params: [
          bytes(BigInt(row)),
          bytes(BigInt(next() % 300_000)),
          Buffer.from(['new', 'paid', 'shipped', 'returned'][row % 4] ?? ''),
          total,
          bytes(1_640_995_200_000n + BigInt(row) * 31_000n),
          receipt,
          Buffer.from(some(14)),
          Buffer.from(details),
          Buffer.from([row % 11 === 0 ? 1 : 0]),
        ],
      },
    ]);
  }
  await writer.finish();
}

/** Runs the same queries as Holdfast, with the same parallelism, and discards the answers. */
export async function bareScan(session: CqlSession, parallelism: number): Promise<Taken> {
  const { signal } = new AbortController();
  const table = await readTable(session, KEYSPACE, TABLE, signal);
  if (table === undefined) throw new Error('there is no table');
  const { selectors } = await planReading(session, KEYSPACE, table, 'auto', signal);
  const statement = selectStatement('cassandra', KEYSPACE, table, selectors);
  const before = process.cpuUsage();
  const startedAt = performance.now();
  const ranges = Array.from({ length: RANGES }, (_, index) => index);
  const reader = async () => {
    for (let range = ranges.shift(); range !== undefined; range = ranges.shift()) {
      const [from, to] = [(range * 65_536) / RANGES, ((range + 1) * 65_536) / RANGES - 1];
      const pages = scan(session, {
        ...{ statement, params: rangeBounds('cassandra', from, to), pageRows: 5_000, doing: 'scan', signal },
        log: () => undefined,
      });
      for await (const page of pages) if (page.rows === 0) throw new Error('an empty page');
    }
  };
  await Promise.all(Array.from({ length: parallelism }, reader));
  const { user, system } = process.cpuUsage(before);
  return { seconds: (performance.now() - startedAt) / 1_000, cpuSeconds: (user + system) / 1e6 };
}
