import { permanent } from '../../model/errors.ts';
import { nativeNames, parseType } from './cql-type.ts';
import { quoteName } from './identifiers.ts';
import { allColumns, type KeyspaceSchema } from './schema.ts';

/**
 * Names that CQL, without quotes, takes for a type of its own or refuses as a type. Both servers list a column's type without quotes if the type's
 * name is in small letters. The last six are reserved (documentation of CQL, appendix B).
 */
const TAKEN_NAMES: ReadonlySet<string> = new Set([
  ...nativeNames,
  'list',
  'set',
  'map',
  'tuple',
  'frozen',
  'vector',
  'bitstring',
  'byte',
  'complex',
  'enum',
  'interval',
  'macaddr',
]);

/**
 * Throws `YCQL_CANNOT_CARRY` (permanent), naming every column whose type Holdfast doesn't know, or every user-defined type whose columns look like
 * those of a native type. Pure.
 */
export function refuseWhatCannotBeCarried(schemas: readonly KeyspaceSchema[]): void {
  refuseTakenNames(schemas);
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

/**
 * A server may list a column of a user-defined type "text" as `text`. A backup would save its values as text, and restore them into a text column.
 */
function refuseTakenNames(schemas: readonly KeyspaceSchema[]): void {
  const taken = schemas.flatMap(({ keyspace, types }) =>
    types
      .filter(({ name }) => TAKEN_NAMES.has(name))
      .map(({ name }) => `${keyspace}.${quoteName(name)}`)
      .sort(),
  );
  if (taken.length === 0) return;
  throw permanent(
    'YCQL_CANNOT_CARRY',
    `These user-defined types are named as types that CQL has of its own: ${taken.join(', ')}. The server lists their columns without quotes, so that it can't be told which type is meant`,
    'Exclude these keyspaces in the plan (`keyspaces: { exclude: […] }`), or create the types under other names, copy what uses them, and drop them.',
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
