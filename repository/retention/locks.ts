import { forEachBounded } from '../bounded.ts';
import { DECRYPT_KEY, INSTRUCTIONS_KEY } from '../encryption/object-class.ts';
import { INDEX_FOLDER, KEYS_FOLDER, REPOSITORY_KEY } from '../layout.ts';
import type { Store } from '../store.ts';

/** Each asks the store once or more, and waits for its answer. */
const ASKED_AT_ONCE = 16;

/**
 * An extended lock lasts longer than it must by this share of the plan's days. What every backup needs is then extended by one backup in some, and not by
 * each: of 30 days by every eighth nightly one.
 */
const SPARE_SHARE = 0.25;

/** What was done so that everything a backup needs is locked. */
interface LocksHeld {
  /** When the backup was made, everything that it needs was locked until at least this time. */
  readonly until: string;
  /** Objects from before the backup whose lock was asked for. */
  readonly asked: number;
  /** Those of them whose lock was extended. */
  readonly extended: number;
}

interface HoldLocksOptions {
  readonly heartbeat?: () => void;
  readonly signal?: AbortSignal;
}

/**
 * Has everything locked that a backup needs and that may be older than it: the shared objects that it names, the index that lists them, key files,
 * `repository.json` and what stands at the top of an encrypted repository. What the backup wrote itself was locked as it was written.
 * Only what a finished backup needs is extended. The locks of everything else are left to expire: of what is needed only while a backup is made, and of
 * what nothing names.
 *
 * Asks the store once for each object, and once or twice more for each whose lock it extends; a second call extends nothing.
 *
 * @param shared keys of the shared objects that the backup names
 * @param startedAt from when the plan's days are counted: everything that the backup wrote was written later
 * @returns undefined where the plan locks nothing
 * Throws what the store throws, and `STORE_LOCKS_LATE` (transient).
 */
export async function holdLocks(
  store: Store,
  shared: Iterable<string>,
  startedAt: Date,
  options: HoldLocksOptions = {},
): Promise<LocksHeld | undefined> {
  const { locks } = store;
  if (locks === undefined) return undefined;
  const { heartbeat, ...cancellable } = options;
  const needed = new Date(startedAt.getTime() + locks.forMs);
  const target = new Date(locks.now().getTime() + locks.forMs * (1 + SPARE_SHARE));
  let asked = 0;
  let extended = 0;
  const hold = async (key: string): Promise<void> => {
    const outcome = await locks.hold(key, { needed, target }, cancellable);
    if (outcome !== 'absent') asked += 1;
    if (outcome === 'extended') extended += 1;
    heartbeat?.();
  };
  await forEachBounded(olderThan(store, shared, cancellable), ASKED_AT_ONCE, hold);
  return { until: needed.toISOString(), asked, extended };
}

/** Keys of what a backup needs and may not have written itself. Some may not be there. */
async function* olderThan(
  store: Store,
  shared: Iterable<string>,
  options: { readonly signal?: AbortSignal },
): AsyncGenerator<string> {
  yield REPOSITORY_KEY;
  for await (const { key } of store.list(KEYS_FOLDER, options)) {
    yield key;
  }
  yield INSTRUCTIONS_KEY;
  yield DECRYPT_KEY;
  let hasShared = false;
  for (const key of shared) {
    hasShared = true;
    yield key;
  }
  if (hasShared) for await (const { key } of store.list(INDEX_FOLDER, options)) yield key;
}
