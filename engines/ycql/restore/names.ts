import type { RestoreRequest } from '../../../model/backup.ts';

/** Cassandra takes no longer name of a keyspace. */
const LONGEST_NAME = 48;

/**
 * The keyspace that `from` is restored into. Keyspaces can't be renamed, so what is unfinished stands under the final name too: the
 * journal in it says so. Pure.
 */
export function restoredName(from: string, { into, contents, scratch, restore }: RestoreRequest): string {
  if (scratch) return fitted(from, `_${restore}`);
  return into[from] ?? (contents === 'data' ? from : fitted(from, `_restored_${restore}`));
}

function fitted(name: string, suffix: string): string {
  const tail = suffix.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_');
  return name.slice(0, LONGEST_NAME - tail.length) + tail;
}
