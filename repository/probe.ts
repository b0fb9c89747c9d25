import { randomUUID } from 'node:crypto';
import { HoldfastError, permanent } from '../model/errors.ts';
import { clockOff, compareClocks } from './clock.ts';
import { sha256Hex } from './sha256.ts';
import type { Cancellable, Store } from './store.ts';
import { STORE_LOCKED, staysForPrune } from './store-errors.ts';

/** Folder of probes. Nothing in it is part of a backup. */
export const PROBES_FOLDER = 'doctor/';

const FREE = '-sum';
const BODY = Buffer.from('holdfast doctor');
const OTHER_BODY = Buffer.from('holdfast doctor, written over');

const ORIGINAL = { sizeBytes: BODY.length, sha256: sha256Hex(BODY) };

/** Writes the object that `probeStore` examines. */
export async function putProbe(store: Store, key: string, options: Cancellable = {}): Promise<void> {
  await store.put(key, BODY, { sha256: ORIGINAL.sha256, ifAbsent: false, ...options });
}

/**
 * Proves, with an object that `putProbe` has written, what a repository relies on: the object can be read back; a listing shows it at once; a conditional put
 * leaves an existing object alone (M3, M4); and the store refuses bytes that don't have the announced SHA-256 (M7).
 *
 * Throws (permanent) `STORE_DAMAGED`; `STORE_LISTS_LATE`, `STORE_UNCONDITIONAL`, `STORE_UNCHECKED` where the store fails one of these; and what the store
 * throws.
 */
export async function probeStore(store: Store, key: string, options: Cancellable = {}): Promise<void> {
  await store.get(key, { expect: ORIGINAL, ...options });
  await requireListed(store, key, options);
  await requireConditional(store, key, options);
  await requireChecked(store, key, options);
  await store.get(key, { expect: ORIGINAL, ...options });
}

/**
 * Proves, before a repository is made in a store, what `probeStore` proves, and that the store's clock agrees with this machine's. It writes an object for
 * that, and deletes it again unless the credentials may not delete.
 *
 * Throws as `probeStore`, and `CLOCK_OFF` (permanent).
 */
export async function proveStore(store: Store, options: Cancellable = {}): Promise<void> {
  const key = `${PROBES_FOLDER}first-use-${randomUUID()}`;
  await putProbe(store, key, options);
  try {
    await probeStore(store, key, options);
    const clocks = await compareClocks(store, key, new Date(), options);
    if (clocks?.isFarOff === true) throw clockOff(clocks, 'no backup is made before.');
  } finally {
    await removeProbe(store, key, options);
  }
}

async function removeProbe(store: Store, key: string, options: Cancellable): Promise<void> {
  try {
    await store.delete([key], options);
  } catch (error) {
    if (!staysForPrune(error)) throw error;
  }
}

async function requireListed(store: Store, key: string, options: Cancellable): Promise<void> {
  for await (const listed of store.list(key, options)) if (listed.key === key) return;
  throw permanent(
    'STORE_LISTS_LATE',
    `${store.description} does not list ${key}, which was put there a moment before`,
    'Use a store whose listings show every object as soon as its put has returned: without that a backup can’t be checked, and a prune may delete what is needed.',
  );
}

async function requireConditional(store: Store, key: string, options: Cancellable): Promise<void> {
  const sha256 = sha256Hex(OTHER_BODY);
  const outcome = await store.put(key, OTHER_BODY, { sha256, ifAbsent: true, ...options });
  if (outcome === 'exists') return;
  throw permanent(
    'STORE_UNCONDITIONAL',
    `${store.description} replaced ${key} by a put that was to write only what is absent (\`If-None-Match: *\`)`,
    'Use a store that honours conditional puts: without them two workers overwrite each other’s backups.',
  );
}

async function requireChecked(store: Store, key: string, options: Cancellable): Promise<void> {
  try {
    await store.put(key, OTHER_BODY, { sha256: ORIGINAL.sha256, ifAbsent: false, ...options });
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'STORE_CHECKSUM_MISMATCH') return;
    // A bucket's default retention refuses to replace the probe before it checks the SHA-256. So this tries a free name.
    if (error instanceof HoldfastError && error.code === STORE_LOCKED && !key.endsWith(FREE)) {
      return requireChecked(store, `${key}${FREE}`, options);
    }
    throw error;
  }
  throw permanent(
    'STORE_UNCHECKED',
    `${store.description} took bytes for ${key} that don't have the SHA-256 that was announced with them`,
    'Use a store that checks `x-amz-checksum-sha256`: without that, what is damaged on the way is stored.',
  );
}
