import { HoldfastError } from '../../model/errors.ts';
import type { ManifestTable, SnapshotTable } from '../../model/manifest.ts';
import type { BackupContext } from '../engine.ts';
import type { ConnectionTarget } from '../ysql/server/connection-url.ts';
import { sqlState } from '../ysql/server/errors.ts';
import { quoteTable } from '../ysql/server/identifiers.ts';
import { readAsOf } from '../ysql/server/read-time.ts';
import { onlyRow, type Session, withSession } from '../ysql/server/session.ts';

/** What a manifest says of a table's rows. A distributed snapshot is saved without reading them. */
export type TableRows = Pick<ManifestTable, 'rows' | 'rowsAre' | 'holdsRows'>;

/** For tables that YSQL can't be asked about, such as a keyspace's. */
export const NOT_LOOKED_AT: TableRows = { rows: 0, rowsAre: 'unknown' };

interface RowsQuestion {
  readonly context: BackupContext;
  readonly target: ConnectionTarget;
  readonly database: string;
  /** The snapshot's time, microseconds since 1970. */
  readonly micros: string;
}

/** Counts the rows of each table as of the snapshot; by table id. */
export async function countRows(
  question: RowsQuestion,
  tables: readonly SnapshotTable[],
): Promise<ReadonlyMap<string, TableRows>> {
  return await eachTable(question, tables, undefined, async (session, table) => ({
    rows: await countOf(session, { schema: table.schema, table: table.name }),
  }));
}

/** How many rows the table has. */
export async function countOf(
  session: Session,
  table: { readonly schema: string; readonly table: string },
): Promise<number> {
  const rows = await session.query<{ rows: string }>(
    `count the rows of ${table.schema}.${table.table}`,
    `SELECT count(*)::text AS rows FROM ${quoteTable(table)}`,
  );
  return Number(onlyRow(rows, 'the number of rows').rows);
}

/** Limit of a look, in milliseconds. If deleted rows before the first row take longer, the table is left unknown. */
const LOOK_MS = 10_000;

/**
 * Without counting: by table id, whether each table holds a row as of the snapshot, and the estimate of its statistics. A table that can't be
 * looked at (another role's, say) is left unknown, since the backup doesn't depend on it.
 */
export async function lookForRows(
  question: RowsQuestion,
  tables: readonly SnapshotTable[],
): Promise<ReadonlyMap<string, TableRows>> {
  return await eachTable(question, tables, LOOK_MS, async (session, { schema, name }) => {
    try {
      if (!(await holdsRows(session, { schema, table: name }))) return { rows: 0 };
      const estimate = await estimateOf(session, schema, name);
      if (estimate === undefined) return { rows: 0, rowsAre: 'unknown', holdsRows: true };
      return { rows: estimate, rowsAre: 'estimated', holdsRows: true };
    } catch (error) {
      if (!(error instanceof HoldfastError) || (error.transient && !isOverTime(error))) throw error;
      const { message } = error;
      question.context.log('nobody looked whether a table holds rows', {
        table: `${schema}.${name}`,
        message,
      });
      return NOT_LOOKED_AT;
    }
  });
}

/** Whether the table holds a row. */
export async function holdsRows(
  session: Session,
  table: { readonly schema: string; readonly table: string },
): Promise<boolean> {
  const rows = await session.query<{ holds: boolean }>(
    `look for a row in ${table.schema}.${table.table}`,
    `SELECT EXISTS (SELECT FROM ${quoteTable(table)}) AS holds`,
  );
  return onlyRow(rows, 'whether there is a row').holds;
}

/** The estimate of ANALYZE; undefined if the table was never analysed (0 before PostgreSQL 14, -1 since). */
async function estimateOf(session: Session, schema: string, name: string): Promise<number | undefined> {
  const rows = await session.query<{ estimate: string }>(
    `read the statistics of ${schema}.${name}`,
    `SELECT c.reltuples::int8::text AS estimate FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = $2`,
    [schema, name],
  );
  const estimate = Number(rows[0]?.estimate ?? 0);
  return estimate > 0 ? estimate : undefined;
}

/** Whether the look's own limit ended it. Its error is transient, so it would otherwise be tried again for ever. */
function isOverTime({ cause }: HoldfastError): boolean {
  return sqlState(cause) === '57014';
}

async function eachTable(
  { context, target, database, micros }: RowsQuestion,
  tables: readonly SnapshotTable[],
  limitMs: number | undefined,
  look: (session: Session, table: SnapshotTable) => Promise<TableRows>,
): Promise<ReadonlyMap<string, TableRows>> {
  const found = new Map<string, TableRows>();
  await withSession(target, database, context.signal, async (session) => {
    await readAsOf(session, micros);
    if (limitMs !== undefined) await session.query('bound each look', `SET statement_timeout = ${limitMs}`);
    for (const table of tables) {
      if (table.index || table.schema === '' || table.skipped !== undefined) continue;
      found.set(table.id, await look(session, table));
      context.heartbeat({ looked: table.name });
    }
  });
  return found;
}
