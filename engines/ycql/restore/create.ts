import { isAlreadyThere } from '../errors.ts';
import type { CqlSession } from '../session.ts';
import type { Journal } from './journal.ts';

/** Something that a restore creates. */
interface Creation {
  /** In words: `table shop.orders`. */
  readonly what: string;
  readonly statement: string;
}

/** Returns false where there is one of that name already. */
export async function createUnlessThere(
  session: CqlSession,
  { what, statement }: Creation,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await session.execute(`create ${what}`, statement, [], signal);
    return true;
  } catch (error) {
    if (error instanceof Error && isAlreadyThere(error.cause)) return false;
    throw error;
  }
}

/**
 * Creates an object and notes that it is this restore's, so that giving the restore up drops it. Returns false, without a note, where somebody else made one of
 * that name.
 *
 * @param wasNoted an earlier attempt has noted it: what is there is this restore's
 */
export async function createNoted(
  session: CqlSession,
  journal: Journal,
  { item, wasNoted, ...creation }: Creation & { readonly item: string; readonly wasNoted: boolean },
  signal: AbortSignal,
): Promise<boolean> {
  // Noted first: a note without an object does no harm, but an object without a note would never be dropped.
  await journal.set(item, 'created');
  if ((await createUnlessThere(session, creation, signal)) || wasNoted) return true;
  await journal.unset(item);
  return false;
}
