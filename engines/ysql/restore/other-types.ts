import type { DataObject } from '../../../model/backup.ts';
import { copyFromStatement } from '../copy-statements.ts';
import { quoteIdentifier, quoteTable, tableName } from '../server/identifiers.ts';
import type { Session } from '../server/session.ts';

/** A temporary table that exists for one object within its transaction. */
const STAGE = 'holdfast_rows';

/** Reads, for each column in the object's order, the name of its type as a cast takes it, and whether that is the backup's type. */
const TYPES = `
  SELECT pg_catalog.format_type(a.atttypid, a.atttypmod) AS target,
    t.typname = o.type AND t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace AS same
  FROM unnest($2::text[], $3::text[]) WITH ORDINALITY o(name, type, place)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = $1::pg_catalog.regclass AND '"' || replace(a.attname, '"', '""') || '"' = o.name AND NOT a.attisdropped
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid ORDER BY o.place`;

interface ColumnType {
  readonly target: string;
  readonly same: boolean;
}

async function typesOf(
  session: Session,
  { table, columns, types = [] }: Pick<DataObject, 'table' | 'columns' | 'types'>,
): Promise<readonly ColumnType[]> {
  const doing = `compare the types of ${tableName(table)} with the backup’s`;
  return await session.query<ColumnType>(doing, TYPES, [quoteTable(table), columns, types]);
}

/**
 * Returns the SELECT list for a table that existed before the restore, so that its rows compare with the backup's: columns of other types
 * are converted through text.
 */
export async function backupTyped(
  session: Session,
  object: Pick<DataObject, 'table' | 'columns' | 'types'>,
): Promise<readonly string[]> {
  const found = await typesOf(session, object);
  return object.columns.map((column, place) =>
    found[place]?.same === false ? `${column}::pg_catalog.text::${typeAt(object, place)}` : column,
  );
}

function typeAt({ types = [] }: Pick<DataObject, 'types'>, place: number): string {
  return `pg_catalog.${quoteIdentifier(types[place] ?? '')}`;
}

/**
 * Loads binary rows into a table that existed before the restore, in the current transaction. COPY loads binary rows only into columns of exactly their types.
 * Where types differ, the rows go through a temporary table and are converted through text, as COPY text would be. Returns the number of loaded rows.
 *
 * @param copy runs a COPY statement with the object's rows
 */
export async function loadIntoTypes(
  session: Session,
  object: DataObject,
  copy: (statement: string) => Promise<number>,
): Promise<number> {
  const { columns } = object;
  const table = quoteTable(object.table);
  const found = await typesOf(session, object);
  // If a column is missing, the server's own error is the best message.
  if (found.length !== columns.length || found.every(({ same }) => same))
    return await copy(copyFromStatement(object, 'UTF8'));
  const stage = { ...object, table: { ...object.table, schema: 'pg_temp', table: STAGE } };
  const definition = columns.map((column, place) => `${column} ${typeAt(object, place)}`);
  await session.query(
    'make a place for rows of other types',
    `CREATE TEMPORARY TABLE ${STAGE} (${definition.join(', ')}) ON COMMIT DROP`,
  );
  const rows = await copy(copyFromStatement(stage, 'UTF8'));
  const values = columns.map((column, place) => `${column}::pg_catalog.text::${found[place]?.target}`);
  await session.query(
    `convert the rows of ${tableName(object.table)}`,
    `INSERT INTO ${table} (${columns.join(', ')}) OVERRIDING SYSTEM VALUE SELECT ${values.join(', ')} FROM ${STAGE}`,
  );
  await session.query('drop the place for rows of other types', `DROP TABLE ${STAGE}`);
  return rows;
}
