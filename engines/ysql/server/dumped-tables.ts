import { permanent } from '../../../model/errors.ts';
import { BOOKKEEPING_SCHEMA } from './bookkeeping-schema.ts';
import type { Relation } from './catalog.ts';
import { outlineDump } from './dump-script.ts';

const NAMED = 5;

/** The types of dump entries that are tables of any kind, views aside. */
const TABLES = new Set(['TABLE', 'FOREIGN TABLE']);

/**
 * Checks that a dump comes from the server whose catalogue was read: the tables that it creates must be those in the catalogue,
 * apart from members of extensions. A dump of the wrong server looks healthy in every other way, and `ysql_dump` connects to
 * localhost when it is given no host (docs/yugabytedb.md, R1).
 *
 * @param expected what the dump was asked for
 * @throws HoldfastError `DUMP_OF_ANOTHER_SCHEMA` (permanent)
 */
export function requireDumpOf(
  database: string,
  script: string,
  expected: readonly Relation[],
  program: string,
): void {
  const { entries } = outlineDump(script);
  const dumped = new Set(
    entries
      .filter(({ type, schema }) => TABLES.has(type) && schema !== undefined && schema !== BOOKKEEPING_SCHEMA)
      .map(({ schema, name }) => `${schema}.${name}`),
  );
  const tables = expected.filter(({ kind }) => kind === 'r' || kind === 'p' || kind === 'f');
  const inHeader = ({ schema, table }: Relation) => `${headerText(schema)}.${headerText(table)}`;
  const wanted = tables.filter(({ extension }) => extension === null).map(inHeader);
  // A dump with YugabyteDB's metadata includes members of extensions.
  const known = new Set(tables.map(inHeader));
  const absent = wanted.filter((name) => !dumped.has(name));
  const foreign = [...dumped].filter((name) => !known.has(name));
  if (absent.length === 0 && foreign.length === 0) return;
  const differences = [
    ...(absent.length > 0 ? [`it lacks ${listed(absent)}`] : []),
    ...(foreign.length > 0 ? [`it has ${listed(foreign)}, which the database hasn't`] : []),
  ];
  throw permanent(
    'DUMP_OF_ANOTHER_SCHEMA',
    `What ${program} wrote is not the schema of database "${database}": ${differences.join(', and ')}`,
    'Check that the program reaches the server that the plan names (host and port of its connection), and that nobody changes tables meanwhile; then back up again.',
  );
}

/** A header is one line: `pg_dump` replaces line breaks in names with spaces. */
function headerText(name: string): string {
  return name.replaceAll(/[\n\r]/g, ' ');
}

function listed(names: readonly string[]): string {
  const some = names.slice(0, NAMED).join(', ');
  return names.length > NAMED ? `${some} and ${names.length - NAMED} more` : some;
}
