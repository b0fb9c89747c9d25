import { forEachBounded } from '../bounded.ts';
import { DECRYPT_KEY, INSTRUCTIONS_KEY } from '../encryption/object-class.ts';
import { INDEX_FOLDER, KEYS_FOLDER, REPOSITORY_KEY, signatureFolder } from '../layout.ts';
import type { Cancellable, Store } from '../store.ts';

/** How many objects are asked for their locks at once. Each takes one request or more. */
const ASKED_AT_ONCE = 16;

/**
 * An extended lock lasts this share of the plan's days longer than it must. So not every backup has to extend the locks of what all backups need: with 30
 * days, every eighth nightly backup does.
 */
const SPARE_SHARE = 0.25;

/** The locks of what a backup needs. */
interface LocksHeld {
  /** When the backup was made, everything that it needs was locked until at least this time. */
  readonly until: string;
  /** Number of older objects whose lock was asked for. */
  readonly asked: number;
  /** Number of these whose lock was extended. */
  readonly extended: number;
}

interface HoldLocksOptions {
  readonly heartbeat?: () => void;
  readonly signal?: AbortSignal;
}

/**
 * Locks everything that a backup needs and that may be older than the backup: the shared objects that it names, the index that lists them, key files,
 * `repository.json` and what signs it, and the files at the top of an encrypted repository. What the backup wrote itself was locked as it was written. Only locks of what a
 * finished backup needs are extended. All others expire: those of objects that only the making of a backup needs, and of objects that nothing names.
 *
 * Makes one request for each object, and one or two more for each lock that it extends. A second call extends nothing.
 *
 * @param shared keys of the shared objects that the backup names
 * @param startedAt beginning of the plan's days: everything that the backup wrote was written later
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

/** Keys of what a backup needs and may not have written itself. Some of these objects may not exist. */
async function* olderThan(
  store: Store,
  shared: Iterable<string>,
  options: Cancellable,
): AsyncGenerator<string> {
  yield REPOSITORY_KEY;
  // Where it was signed later, it counts by these alone.
  for await (const { key } of store.list(signatureFolder(REPOSITORY_KEY), options)) yield key;
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
