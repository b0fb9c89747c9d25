import { readTable } from '../../engines/ycql/catalog.ts';
import { connect } from '../../engines/ycql/connect.ts';
import { BUCKETS, rangeBounds, selectStatement } from '../../engines/ycql/dialect.ts';
import { pageColumns, planReading } from '../../engines/ycql/reading.ts';
import { type Comparison, compareRows, type ReadRow } from '../../engines/ycql/restore/compare.ts';
import { rowsOf } from '../../engines/ycql/rows.ts';
import { scan } from '../../engines/ycql/scan.ts';
import type { TableSchema } from '../../engines/ycql/schema.ts';
import type { CqlSession } from '../../engines/ycql/session.ts';
import type { CqlPageColumn } from '../../repository/backups/cql-pages.ts';
import type { TestCluster } from './zoo.ts';

/** A session of the engine's own, for a test to read undecoded rows; the caller closes it. */
export async function openSession(cluster: TestCluster): Promise<CqlSession> {
  const load = { inFlightPerNode: 16, pageRows: 1_000 };
  const verb = { signal: new AbortController().signal, log: () => undefined };
  return await connect(verb, cluster, { consistencyLevel: 'QUORUM', load });
}

/**
 * Every cell of tables of two keyspaces, as the server has them now: bytes, times of writing, expiries. `withTimes` false where the
 * restore was not to keep the times.
 */
export async function compareKeyspaces(
  cluster: TestCluster,
  one: string,
  other: string,
  tables: readonly string[],
  { withTimes = true, most = 20 }: { readonly withTimes?: boolean; readonly most?: number } = {},
): Promise<Comparison> {
  const session = await openSession(cluster);
  try {
    // A node that was away hears of tables that were made meanwhile a moment after it is back.
    await session.awaitSchemaAgreement(120_000, new AbortController().signal);
    let [rows, cells] = [0, 0];
    const differences: string[] = [];
    for (const name of tables) {
      const found = await compareTable(session, one, other, name, withTimes, most);
      rows += found.rows;
      cells += found.cells;
      differences.push(...found.differences);
    }
    return { rows, cells, differences };
  } finally {
    await session.close();
  }
}

async function compareTable(
  session: CqlSession,
  one: string,
  other: string,
  name: string,
  withTimes: boolean,
  most: number,
): Promise<Comparison> {
  const { signal } = new AbortController();
  const table = await readTable(session, one, name, signal);
  if (table === undefined) throw new Error(`there is no table ${one}.${name}`);
  if ((await readTable(session, other, name, signal)) === undefined) {
    return { rows: 0, cells: 0, differences: [`${name} is missing`] };
  }
  const { selectors } = await planReading(session, one, table, withTimes ? 'auto' : 'none', signal);
  const columns = pageColumns(session.server.product, table, selectors) ?? [];
  return await compareRows(
    rowsOfTable(session, one, table, selectors, columns),
    rowsOfTable(session, other, table, selectors, columns),
    { columns, table: name, most, ttlToleranceSeconds: 300 },
  );
}

async function* rowsOfTable(
  session: CqlSession,
  keyspace: string,
  table: TableSchema,
  selectors: readonly string[],
  columns: readonly CqlPageColumn[],
): AsyncGenerator<ReadRow> {
  const { product } = session.server;
  const pages = scan(session, {
    statement: selectStatement(product, keyspace, table, selectors),
    params: rangeBounds(product, 0, BUCKETS - 1),
    pageRows: 1_000,
    doing: `read ${table.name}`,
    signal: new AbortController().signal,
    log: () => undefined,
  });
  for await (const page of pages) {
    for (const cells of rowsOf(page, columns.length)) yield { cells, readAtMs: page.readAtMs };
  }
}
