import type { RestoreRequest } from '../../../model/backup.ts';

/** The longest name of a keyspace that Cassandra takes, in characters. */
const LONGEST_NAME = 48;

/**
 * The keyspace that `from` is restored into. Keyspaces can't be renamed, so an unfinished restore has the final name too; the journal in it marks
 * it as unfinished. Pure.
 */
export function restoredName(from: string, { into, contents, scratch, restore }: RestoreRequest): string {
  if (scratch) return fitted(from, `_${restore}`);
  return into[from] ?? (contents === 'data' ? from : fitted(from, `_restored_${restore}`));
}

function fitted(name: string, suffix: string): string {
  const tail = suffix.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_');
  return name.slice(0, LONGEST_NAME - tail.length) + tail;
}
