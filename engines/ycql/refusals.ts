import { permanent } from '../../model/errors.ts';
import { parseType } from './cql-type.ts';
import { allColumns, type KeyspaceSchema } from './schema.ts';

/** Throws `YCQL_CANNOT_CARRY` (permanent) naming every column whose type Holdfast doesn't know. Pure. */
export function refuseWhatCannotBeCarried(schemas: readonly KeyspaceSchema[]): void {
  const unknown = schemas.flatMap(({ keyspace, tables }) =>
    tables.flatMap((table) =>
      allColumns(table)
        .filter(({ type }) => !isKnown(type))
        .map(({ name, type }) => `${keyspace}.${table.name} column ${name} (${type})`),
    ),
  );
  if (unknown.length === 0) return;
  throw permanent(
    'YCQL_CANNOT_CARRY',
    `These columns have a type that Holdfast does not know: ${unknown.join('; ')}`,
    'Exclude these tables in the plan (`tables: { exclude: […] }`).',
  );
}

function isKnown(type: string): boolean {
  try {
    parseType(type);
    return true;
  } catch {
    return false; // that it can't be parsed is the answer
  }
}
