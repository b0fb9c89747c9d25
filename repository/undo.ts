import { permanent } from '../model/errors.ts';
import { forEachBounded } from './bounded.ts';
import { isKept, KEYS_FOLDER } from './layout.ts';
import type { LostObject, Store } from './store.ts';

const AT_ONCE = 16;
const NAMED = 20;

export interface UndoWishes {
  /** The repository comes to hold again what it held then. */
  readonly since: Date;
  /** False: only looks. */
  readonly putBack: boolean;
  /** How many objects are back. */
  onProgress?(objects: number): void;
  readonly signal?: AbortSignal | undefined;
}

export interface UndoResult {
  readonly deleted: number;
  readonly overwritten: number;
  /** How many of the overwritten ones are key files: these open again for the recipients of then, and not for those that a re-wrap added since. */
  readonly keyFiles: number;
  /** Of the contents that they had. */
  readonly bytes: number;
  /** When the first and the last of them were deleted or overwritten, ISO 8601 in UTC. Absent where nothing was. */
  readonly from?: string;
  readonly to?: string;
  /** The first of them, at most 20. */
  readonly objects: readonly Pick<LostObject, 'key' | 'happened'>[];
}

/**
 * Puts back what backups and archives consist of, and what was deleted or overwritten since an instant, whoever did it: also what retention deleted. What came after the
 * instant stays. May be stopped and called again: what is back is left alone, but for objects that were once sent in parts, which are copied again.
 *
 * Throws `UNDO_NO_VERSIONS` (permanent) on a store that keeps no older versions.
 *
 * @param raw the store without its door: contents are neither read nor written
 */
export async function undoSince(
  raw: Store,
  { since, putBack, onProgress, signal }: UndoWishes,
): Promise<UndoResult> {
  const { versions } = raw;
  if (versions === undefined) {
    throw permanent(
      'UNDO_NO_VERSIONS',
      `${raw.description} keeps no older versions of objects`,
      'Take what is missing from a copy of the repository (`copy` in the plan), or from a snapshot of the file system.',
    );
  }
  const count = { deleted: 0, overwritten: 0 };
  const objects: Pick<LostObject, 'key' | 'happened'>[] = [];
  let bytes = 0;
  let keyFiles = 0;
  let back = 0;
  let from = Number.POSITIVE_INFINITY;
  let to = Number.NEGATIVE_INFINITY;
  await forEachBounded(keptOnly(versions.lostSince(since, { signal })), AT_ONCE, async (lost) => {
    count[lost.happened] += 1;
    bytes += lost.sizeBytes;
    if (lost.happened === 'overwritten' && lost.key.startsWith(KEYS_FOLDER)) keyFiles += 1;
    from = Math.min(from, lost.at.getTime());
    to = Math.max(to, lost.at.getTime());
    if (objects.length < NAMED) objects.push({ key: lost.key, happened: lost.happened });
    if (!putBack) return;
    await versions.putBack(lost, { signal });
    back += 1;
    onProgress?.(back);
  });
  const isAny = count.deleted + count.overwritten > 0;
  return {
    ...count,
    keyFiles,
    bytes,
    objects,
    ...(isAny ? { from: new Date(from).toISOString(), to: new Date(to).toISOString() } : {}),
  };
}

async function* keptOnly(lost: AsyncIterable<LostObject>): AsyncGenerator<LostObject> {
  for await (const one of lost) if (isKept(one.key)) yield one;
}
