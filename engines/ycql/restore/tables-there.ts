import { permanent } from '../../../model/errors.ts';
import { isMultiCell, parseType } from '../cql-type.ts';
import { quoteTable } from '../identifiers.ts';
import { type KeyspaceSchema, type TableSchema, typesBelow, type UserType, valueColumns } from '../schema.ts';
import type { CqlSession } from '../session.ts';
import { differencesOf, isSameType } from './definitions.ts';
import { type KeyspaceJob, type RestoreJob, wishesOf } from './job.ts';
import { checkNotNewer } from './newer-data.ts';
import { type WritingRules, writingRules } from './writing-rules.ts';

/*
 * Rows that go into tables which are there already: what the target would make of them is looked at before anything is written.
 */

/**
 * Checks that a table can take the backup's rows. Throws, all permanent: `RESTORE_TABLE_MISSING`, `RESTORE_TABLE_DIFFERS`,
 * `RESTORE_DEFINITION_DIFFERS` (of a user-defined type), `RESTORE_COLUMN_DROPPED`.
 */
export function checkTakesRows(
  job: RestoreJob,
  { to, schema }: KeyspaceJob,
  table: TableSchema,
  existing: KeyspaceSchema,
  session: CqlSession,
): void {
  const there = existing.tables.find(({ name }) => name === table.name);
  checkMatches(to, table, there);
  checkTypes(to, typesBelow(table, schema.types), existing.types);
  if (there !== undefined && !rulesOf(job, table, session).replaces) checkNotDropped(to, table, there);
}

/**
 * Checks that the rows in a table are no obstacle. The rows that an earlier attempt of the same restore wrote are none, so this is called only before the first. Throws,
 * all permanent: `RESTORE_COUNTERS_NOT_EMPTY`, `RESTORE_TARGET_NEWER`, `RESTORE_LISTS_NOT_EMPTY`.
 */
export async function checkRowsThere(
  job: RestoreJob,
  keyspace: string,
  table: TableSchema,
  session: CqlSession,
): Promise<void> {
  const { request, signal } = job.context;
  if (table.isCounter) {
    if (await isEmpty(session, keyspace, table, signal)) return;
    throw permanent(
      'RESTORE_COUNTERS_NOT_EMPTY',
      `Table ${keyspace}.${table.name} counts already, and counters can only be added to`,
      'Truncate it, or restore into a new keyspace (--into NAME).',
    );
  }
  if (request.asNew !== true) await checkNotNewer(job, session, keyspace, table);
  const lists = listsAddedTo(table, rulesOf(job, table, session));
  if (lists.length === 0 || (await isEmpty(session, keyspace, table, signal))) return;
  throw permanent(
    'RESTORE_LISTS_NOT_EMPTY',
    `Table ${keyspace}.${table.name} holds rows, and elements of its lists (${lists.join(', ')}) can only be added to those that are there: they would be there twice`,
    'Restore with --as-new, which writes lists as wholes; or TRUNCATE the table first; or leave it out (--exclude-tables); or restore into a new keyspace (--into NAME).',
  );
}

function rulesOf(job: RestoreJob, table: TableSchema, { server }: CqlSession): WritingRules {
  return writingRules(job.source, server, table, wishesOf(job));
}

/** The lists whose elements are added to those that are there, since they keep their own times of writing. */
function listsAddedTo(table: TableSchema, { replaces, wholeCollections }: WritingRules): readonly string[] {
  if (replaces || wholeCollections) return [];
  return valueColumns(table).flatMap(({ name, type }) => {
    const parsed = parseType(type);
    return parsed.kind === 'list' && isMultiCell(parsed) ? [name] : [];
  });
}

function checkMatches(keyspace: string, table: TableSchema, there: TableSchema | undefined): void {
  if (there === undefined) {
    throw permanent(
      'RESTORE_TABLE_MISSING',
      `There is no table ${keyspace}.${table.name} to restore rows into`,
      'Create it, or restore the schema too.',
    );
  }
  const differences = differencesOf(table, there);
  if (differences.length === 0) return;
  throw permanent(
    'RESTORE_TABLE_DIFFERS',
    `Table ${keyspace}.${table.name} is not as the backup's is: ${differences.join('; ')}`,
    'Restore into a new keyspace (--into NAME), and copy from there.',
  );
}

/** Values are written as the bytes that the backup has, so the target's types must read them as the backup's do. */
function checkTypes(keyspace: string, wanted: readonly UserType[], there: readonly UserType[]): void {
  for (const type of wanted) {
    const found = there.find(({ name }) => name === type.name);
    const differences = found === undefined ? ['it is not there'] : fieldDifferences(type, found);
    if (differences.length === 0) continue;
    throw permanent(
      'RESTORE_DEFINITION_DIFFERS',
      `The type ${keyspace}.${type.name} is not as the backup's is, and would read its values otherwise: ${differences.join('; ')}`,
      'Restore into a new keyspace (--into NAME), and copy from there.',
    );
  }
}

function fieldDifferences(wanted: UserType, there: UserType): readonly string[] {
  return [
    ...wanted.fields.flatMap(({ name, type }, index) => {
      const is = there.fields[index];
      if (is === undefined) return [`it lacks field ${name}`];
      if (is.name === name && isSameType(is.type, type)) return [];
      return [`it has field ${is.name} (${is.type}) instead of ${name} (${type})`];
    }),
    ...there.fields.slice(wanted.fields.length).map(({ name }) => `it has a field ${name} more`),
  ];
}

/** A server hides cells that were written before their column was dropped, also when it has been added again. */
function checkNotDropped(keyspace: string, table: TableSchema, there: TableSchema): void {
  const { dropped: before = [] } = table;
  const { dropped = [] } = there;
  const found = valueColumns(table).flatMap(({ name }) =>
    dropped
      .filter((drop) => drop.slice(0, drop.lastIndexOf(' ')) === name && !before.includes(drop))
      .map((drop) => `${name} (dropped at ${drop.slice(name.length + 1)})`),
  );
  if (found.length === 0) return;
  throw permanent(
    'RESTORE_COLUMN_DROPPED',
    `Table ${keyspace}.${table.name} has columns that were dropped and added again, and the server hides what was written before: ${found.join(', ')}`,
    'Restore with --as-new, so that rows are written at the time of the restore; or into a new keyspace (--into NAME).',
  );
}

async function isEmpty(
  session: CqlSession,
  keyspace: string,
  { name }: TableSchema,
  signal: AbortSignal,
): Promise<boolean> {
  const statement = `SELECT * FROM ${quoteTable(keyspace, name)} LIMIT 1`;
  const { rows } = await session.rows(`see whether ${keyspace}.${name} is empty`, statement, [], signal);
  return rows === 0;
}
