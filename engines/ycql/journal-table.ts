import type { KeyspaceSchema } from './schema.ts';

/*
 * A restore notes its progress in a table of the keyspace that it writes into. Somebody may have a table of the same name, which is theirs: a journal is known by its
 * columns.
 */

/** The names of a journal; the second one is for keyspaces that have a table of the first name themselves. */
const NAMES = ['holdfast_restore', 'holdfast_restore_journal'] as const;

/** The columns of a journal, as CREATE TABLE has them. */
export const JOURNAL_COLUMNS = 'item text PRIMARY KEY, value text';

/** The name of the journal of a restore of this keyspace: one that no table or view of it has. */
export function journalTableFor({ tables, views = [] }: Pick<KeyspaceSchema, 'tables' | 'views'>): string {
  const taken = new Set([...tables.map(({ name }) => name), ...views.map(({ table }) => table.name)]);
  let [name, other]: [string, string] = [...NAMES];
  while (taken.has(name)) [name, other] = [other, `${other}_`];
  return name;
}

/** A column as `system_schema.columns` has it. */
interface Column {
  readonly column_name: string;
  readonly kind: string;
  readonly type: string;
}

/** Whether a table is a journal: it has the name of one, and the columns of one and no others. */
export function isJournal(table: string, columns: readonly Column[]): boolean {
  if (!/^holdfast_restore(?:_journal_*)?$/.test(table) || columns.length !== 2) return false;
  const has = (name: string, kind: string) =>
    columns.some((one) => one.column_name === name && one.kind === kind && one.type === 'text');
  return has('item', 'partition_key') && has('value', 'regular');
}
