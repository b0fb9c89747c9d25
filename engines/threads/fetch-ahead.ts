import type { DataObject } from '../../model/backup.ts';
import { readRun, runsOf } from '../../repository/backups/data-pieces.ts';
import { forEachBounded } from '../../repository/bounded.ts';
import type { BackupContext } from '../engine.ts';
import { borrowMemory, returnMemory, type SharedMemory } from './shared-memory.ts';

/** A data object and its stored bytes. */
export interface Fetched {
  readonly object: DataObject;
  /** Valid until the next one is asked for. */
  readonly body: Uint8Array<SharedArrayBuffer>;
}

type FetchContext = Pick<BackupContext, 'store' | 'folder' | 'signal'>;

/** How many requests fetch a group at once. Its objects are small, and a request takes its time whatever its size. */
const FETCHED_AT_ONCE = 8;

/** The objects in order, each fetched while the one before it is in use. Memory: two compressed objects. */
export async function* fetchAhead(
  context: FetchContext,
  objects: readonly DataObject[],
): AsyncGenerator<Fetched> {
  for await (const [fetched] of fetchGroupsAhead(
    context,
    objects.map((object) => [object]),
  )) {
    if (fetched !== undefined) yield fetched;
  }
}

/**
 * Groups of objects in order, each fetched while the one before it is in use. Bodies are valid until the next group is asked for.
 * Memory: the compressed objects of two groups.
 */
export async function* fetchGroupsAhead(
  context: FetchContext,
  groups: readonly (readonly DataObject[])[],
): AsyncGenerator<readonly Fetched[]> {
  const fetches: Promise<readonly Fetched[]>[] = [];
  const [present, following] = [borrowMemory(), borrowMemory()];
  const fetch = (index: number): void => {
    const group = groups[index];
    if (group === undefined) return;
    const fetching = fetchGroup(context, group, index % 2 === 0 ? present : following);
    // Prevents an unhandled rejection if it fails before the loop awaits it.
    fetching.catch(() => undefined);
    fetches.push(fetching);
  };
  try {
    fetch(0);
    for (const index of groups.keys()) {
      const fetched = (await fetches[index]) ?? [];
      fetch(index + 1);
      yield fetched;
    }
  } finally {
    // The memory may go to another only when no fetch writes into it any more.
    await Promise.allSettled(fetches);
    returnMemory(present);
    returnMemory(following);
  }
}

/** Settles once no request writes into the memory any more, even if one of them failed. */
async function fetchGroup(
  context: FetchContext,
  group: readonly DataObject[],
  memory: SharedMemory,
): Promise<readonly Fetched[]> {
  const all = memory.view(group.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
  let offset = 0;
  const fetched = group.map((object): Fetched => {
    const body = all.subarray(offset, offset + object.sizeBytes);
    offset += object.sizeBytes;
    return { object, body };
  });
  let start = 0;
  const runs = runsOf(group).map((run) => {
    const place = all.subarray(start, start + run.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
    start += place.length;
    return { run, place };
  });
  await forEachBounded(runs, FETCHED_AT_ONCE, ({ run, place }) =>
    readRun(context.store, context.folder, run, place, { signal: context.signal }),
  );
  return fetched;
}
