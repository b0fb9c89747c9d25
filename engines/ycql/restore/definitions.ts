import { readTable } from '../catalog.ts';
import { parseType } from '../cql-type.ts';
import type { TableSchema } from '../schema.ts';
import type { CqlSession } from '../session.ts';
import type { KeyspaceJob, RestoreJob } from './job.ts';

/** Compares the definitions that were restored of one keyspace with the backup's. Returns each difference, named. */
export async function compareDefinitions(
  job: RestoreJob,
  { to, tables }: KeyspaceJob,
  session: CqlSession,
): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const table of tables) {
    const name = `${to}.${table.name}`;
    const there = await readTable(session, to, table.name, job.context.signal);
    if (there === undefined) {
      problems.push(`table ${name} is missing`);
      continue;
    }
    problems.push(...differencesOf(table, there).map((difference) => `table ${name}: ${difference}`));
    const indexes = new Set(there.indexes.map((index) => index.name));
    for (const index of table.indexes) {
      if (!indexes.has(index.name)) problems.push(`table ${name}: it lacks index ${index.name}`);
    }
  }
  return problems;
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
  // A column more is left empty; one more in the key can't be.
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

/** Names are quoted by one server and not by another. */
function isSameType(one: string, other: string): boolean {
  return JSON.stringify(parseType(one)) === JSON.stringify(parseType(other));
}

const WORDS = {
  partitionKey: 'partition key',
  clustering: 'clustering key',
  statics: 'static',
  regulars: 'regular',
} as const;
