import { restoresFolder, snapshotLedgersFolder } from './layout.ts';
import { putSealed } from './sealed-object.ts';
import type { Cancellable, Store } from './store.ts';
import { staysForPrune } from './store-errors.ts';

/*
 * Notes are what a run must remember in the repository while it runs: the snapshots that it began in a universe (`snapshots/`), and what a
 * restore made (`restores/`). The run deletes its notes at its end. If its credentials may not delete, it writes a record beside them that
 * they have ended, and a prune deletes both.
 */

const ENDED = '.ended.json';

/** Ends notes: deletes them, or records that they have ended if they can't be deleted. @param name the beginning of their keys */
export async function endNotes(
  store: Store,
  name: string,
  keys: readonly string[],
  options: Cancellable = {},
): Promise<void> {
  try {
    await store.delete(keys, options);
  } catch (error) {
    if (!staysForPrune(error)) throw error;
    await putSealed(store, `${name}${ENDED}`, { ended: new Date().toISOString() }, options);
  }
}

/** Whether notes of any of these names have ended. */
export async function haveEnded(
  store: Store,
  names: readonly string[],
  options: Cancellable = {},
): Promise<boolean> {
  for (const name of names) if ((await store.head(`${name}${ENDED}`, options)) !== undefined) return true;
  return false;
}

/** The keys of notes that have not ended. */
export function liveNotes(keys: readonly string[]): readonly string[] {
  const ended = endedNames(keys);
  return ended.length === 0 ? keys : keys.filter((key) => !ended.some((name) => key.startsWith(name)));
}

function endedNames(keys: readonly string[]): readonly string[] {
  return keys.flatMap((key) => (key.endsWith(ENDED) ? [key.slice(0, -ENDED.length)] : []));
}

/** Deletes a plan's ended notes and the records of their end. Needs credentials that may delete. Returns the number of objects. */
export async function sweepNotes(store: Store, plan: string, options: Cancellable = {}): Promise<number> {
  let deleted = 0;
  for (const folder of [snapshotLedgersFolder(plan), restoresFolder(plan)]) {
    const keys = await Array.fromAsync(store.list(folder, options), ({ key }) => key);
    const ended = endedNames(keys);
    const over = keys.filter((key) => ended.some((name) => key.startsWith(name)));
    // The record of the end is deleted last.
    const sorted = over.toSorted((one, other) => Number(one.endsWith(ENDED)) - Number(other.endsWith(ENDED)));
    if (sorted.length > 0) await store.delete(sorted, options);
    deleted += sorted.length;
  }
  return deleted;
}
