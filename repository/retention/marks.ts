import { z } from 'zod';
import { mapBounded } from '../bounded.ts';
import { type BackupId, markKey, marksFolder } from '../layout.ts';
import { getSealedIfThere, replaceSealed } from '../sealed-object.ts';
import type { Cancellable, Store } from '../store.ts';
import { ifWhole } from '../store-errors.ts';

const MARKS_AT_ONCE = 8;

/** Phase one of retention: the mark of a backup that is to be deleted. If the mark is removed, the backup stays. */
export interface Mark {
  readonly plan: string;
  readonly backup: string;
  readonly markedAt: string;
  /** The backup is not deleted before this time. */
  readonly deleteAfter: string;
  /** True: deletion has begun, so no new reader may begin (`pins.ts`). */
  readonly deleting?: boolean;
}

const markSchema: z.ZodType<Mark> = z.object({
  plan: z.string(),
  backup: z.string(),
  markedAt: z.iso.datetime(),
  deleteAfter: z.iso.datetime(),
  deleting: z.boolean().exactOptional(),
});

/** Sets or changes the mark of a backup. */
export function putMark(store: Store, mark: Mark, options: Cancellable = {}): Promise<void> {
  return replaceSealed(store, markKey(mark), mark, options);
}

/** Removes the mark of a backup, if there is one. */
export function removeMark(store: Store, ref: BackupId, options: Cancellable = {}): Promise<void> {
  return store.delete([markKey(ref)], options);
}

/** The mark of a backup. Undefined where there is none, or only a damaged one, since the next prune decides anew. */
export async function findMark(
  store: Store,
  ref: BackupId,
  options: Cancellable = {},
): Promise<Mark | undefined> {
  return await ifWhole(getSealedIfThere(store, markKey(ref), markSchema, options));
}

/** All marks of a plan, by backup. */
export async function readMarks(
  store: Store,
  plan: string,
  options: Cancellable = {},
): Promise<ReadonlyMap<string, Mark>> {
  const names = await Array.fromAsync(store.list(marksFolder(plan), options), ({ key }) =>
    key.slice(marksFolder(plan).length, -'.json'.length),
  );
  const read = (backup: string) => findMark(store, { plan, backup }, options);
  const marks = new Map<string, Mark>();
  for await (const mark of mapBounded(names, MARKS_AT_ONCE, read)) {
    if (mark !== undefined) marks.set(mark.backup, mark);
  }
  return marks;
}
