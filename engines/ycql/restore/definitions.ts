import { readTable } from '../catalog.ts';
import { readAggregates, readFunctions, readViewRows } from '../catalog-objects.ts';
import { parseType } from '../cql-type.ts';
import type { AggregateSchema, FunctionSchema, TableSchema } from '../schema.ts';
import type { CqlSession } from '../session.ts';
import type { KeyspaceJob, RestoreJob } from './job.ts';

/** Compares a keyspace's restored definitions with the backup's. Returns each difference, named. */
export async function compareDefinitions(
  job: RestoreJob,
  keyspace: KeyspaceJob,
  session: CqlSession,
): Promise<readonly string[]> {
  const { to, tables } = keyspace;
  const problems: string[] = [];
  for (const table of tables) {
    const name = `${to}.${table.name}`;
    const there = await readTable(session, to, table.name, job.context.signal);
    if (there === undefined) {
      problems.push(`table ${name} is missing`);
      continue;
    }
    problems.push(...differencesOf(table, there).map((difference) => `table ${name}: ${difference}`));
    // Another product writes an index's target in another way.
    const isSameProduct = (table.yugabyte === undefined) === (there.yugabyte === undefined);
    for (const index of table.indexes) {
      const found = there.indexes.find((one) => one.name === index.name);
      if (found === undefined) problems.push(`table ${name}: it lacks index ${index.name}`);
      else if (isSameProduct && found.target !== index.target)
        problems.push(`table ${name}: index ${index.name} is of ${found.target} instead of ${index.target}`);
    }
  }
  return [...problems, ...(await missingObjects(job, keyspace, session))];
}

/** Views, functions and aggregates that are missing. YugabyteDB has none of these (docs/ycql.md). */
async function missingObjects(
  { context }: RestoreJob,
  { to, schema, views }: KeyspaceJob,
  session: CqlSession,
): Promise<readonly string[]> {
  if (session.server.product !== 'cassandra') return [];
  const { signal } = context;
  const problems: string[] = [];
  const lacks = (what: string, wanted: readonly string[], found: readonly string[]) => {
    const there = new Set(found);
    problems.push(
      ...wanted.filter((name) => !there.has(name)).map((name) => `keyspace ${to} lacks ${what} ${name}`),
    );
  };
  if (views.length > 0) {
    const rows = await readViewRows(session, to, signal);
    lacks(
      'view',
      views.map(({ table }) => table.name),
      rows.map(({ view_name }) => view_name),
    );
  }
  const { functions = [], aggregates = [] } = schema;
  if (functions.length > 0) {
    const signature = (one: FunctionSchema) =>
      signatureOf(
        one.name,
        one.arguments.map(({ type }) => type),
      );
    lacks('function', functions.map(signature), (await readFunctions(session, to, signal)).map(signature));
  }
  if (aggregates.length > 0) {
    const signature = (one: AggregateSchema) => signatureOf(one.name, one.argumentTypes);
    lacks('aggregate', aggregates.map(signature), (await readAggregates(session, to, signal)).map(signature));
  }
  return problems;
}

function signatureOf(name: string, types: readonly string[]): string {
  return `${name}(${types.join(', ')})`;
}

/** How a table's columns differ from those that rows of the backup need; empty where they don't. Pure. */
export function differencesOf(wanted: TableSchema, there: TableSchema): readonly string[] {
  const parts = ['partitionKey', 'clustering', 'statics', 'regulars'] as const;
  const describe = (table: TableSchema) =>
    new Map(
      parts.flatMap((part) =>
        table[part].map(({ name, type }, index) => {
          const place = part === 'partitionKey' || part === 'clustering' ? ` ${index + 1}` : '';
          return [name, { type, place: `${WORDS[part]}${place}` }] as const;
        }),
      ),
    );
  const [before, now] = [describe(wanted), describe(there)];
  const differences: string[] = [];
  for (const [name, what] of before) {
    const is = now.get(name);
    if (is === undefined) differences.push(`it lacks column ${name} ${shown(what)}`);
    else if (is.place !== what.place || !isSameType(is.type, what.type))
      differences.push(`column ${name} is ${shown(is)} instead of ${shown(what)}`);
  }
  // An additional column can be left empty, but not one of the key.
  for (const [name, what] of now) {
    if (!before.has(name) && /key/.test(what.place)) differences.push(`it has a key column ${name} more`);
  }
  return differences;
}

interface Described {
  readonly type: string;
  readonly place: string;
}

function shown({ type, place }: Described): string {
  return `${type} (${place})`;
}

/** Compares parsed types, since one server quotes names and another doesn't. */
export function isSameType(one: string, other: string): boolean {
  return JSON.stringify(parseType(one)) === JSON.stringify(parseType(other));
}

const WORDS = {
  partitionKey: 'partition key',
  clustering: 'clustering key',
  statics: 'static',
  regulars: 'regular',
} as const;
