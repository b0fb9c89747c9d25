import { z } from 'zod';
import { HoldfastError } from '../../model/errors.ts';
import { listBackups } from '../backups/list-backups.ts';
import { readNamedObjects } from '../backups/manifest.ts';
import { readSharedObjects } from '../backups/shared-objects.ts';
import { forEachBounded } from '../bounded.ts';
import { backupFolder } from '../layout.ts';
import { getSealed, replaceSealed } from '../sealed-object.ts';
import { sha256Hex } from '../sha256.ts';
import type { Cancellable } from '../store.ts';
import { ifWhole, isDamage } from '../store-errors.ts';
import type { EncryptedStore } from './encrypted-store.ts';
import { NO_IDENTITY, WRONG_IDENTITY } from './errors.ts';
import { type KeyPurpose, keyFileName, keyIdOf } from './key-files.ts';
import { classOf } from './object-class.ts';

const HEADERS_AT_ONCE = 16;
const OPENED_FOLDER = 'opened/';

/** What is known of one key file. */
type KeyFileState = { readonly id: string } & (
  | { readonly state: 'opened'; readonly purpose: KeyPurpose; readonly by: string }
  /** No identity on this machine opens it, so it is not known whether it is whole. */
  | { readonly state: 'closed'; readonly problem: string }
  | { readonly state: 'damaged'; readonly problem: string }
);

/** A backup that can't be read any more because key files are gone or damaged. */
interface LostBackup {
  readonly plan: string;
  readonly backup: string;
  /** Ids of the missing or damaged keys. */
  readonly keys: readonly string[];
}

interface KeyReport {
  readonly files: readonly KeyFileState[];
  /** Number of backups whose objects were asked for their keys. */
  readonly backups: number;
  readonly lost: readonly LostBackup[];
}

/** Tries to open every key file with the identities on this machine. */
async function openKeyFiles(
  store: EncryptedStore,
  options: Cancellable = {},
): Promise<readonly KeyFileState[]> {
  const states: KeyFileState[] = [];
  for (const name of await store.keyFiles(options)) {
    const id = keyIdOf(name);
    if (id !== undefined) states.push(await openKeyFile(store, id));
  }
  return states;
}

async function openKeyFile(store: EncryptedStore, id: string): Promise<KeyFileState> {
  try {
    const { key, by } = await store.keyring.open(id, ['identity', 'metadataIdentity']);
    return { id, state: 'opened', purpose: key.purpose, by };
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    if (error.code === NO_IDENTITY || error.code === WRONG_IDENTITY) {
      return { id, state: 'closed', problem: error.message };
    }
    if (isDamage(error)) return { id, state: 'damaged', problem: error.message };
    throw error;
  }
}

/**
 * Tries every key file, and asks every object of every backup of a plan for its key, by one small read for each object. A key file that no identity here
 * opens is reported as `closed`, which doesn't mean that it is bad. Records which identities opened data, for `lastOpened`.
 *
 * Throws what opening the repository throws: without the metadata key nothing is known of its backups.
 */
export async function checkKeys(
  store: EncryptedStore,
  plan: string,
  options: Cancellable = {},
): Promise<KeyReport> {
  const { encryption } = await store.identity(options);
  const files = await openKeyFiles(store, options);
  const usable = new Set(files.flatMap(({ id, state }) => (state === 'damaged' ? [] : [id])));
  const { backups } = await listBackups(store, plan, options);
  const lost: LostBackup[] = [];
  for (const manifest of backups) {
    const missing = new Set<string>();
    const ask = async (key: string): Promise<void> => {
      if (classOf(key) !== 'data') return;
      // An object that is gone or isn't encrypted has no key: `verify` reports that.
      const id = await ifWhole(store.keyIdOf(key, options));
      if (id !== undefined && id !== encryption.metadataKey && !usable.has(id)) missing.add(id);
    };
    const reading = { ...options, onDamagedList: () => undefined };
    const named = readNamedObjects(store, manifest, reading);
    await forEachBounded(named, HEADERS_AT_ONCE, ({ entry }) => ask(backupFolder(manifest) + entry.key));
    await forEachBounded(readSharedObjects(store, manifest, reading), HEADERS_AT_ONCE, ({ key }) => ask(key));
    if (missing.size > 0) lost.push({ plan, backup: manifest.backup, keys: [...missing] });
  }
  await recordOpened(store, files, options);
  return { files, backups: backups.length, lost };
}

/** A record that an identity opened data keys of this repository, and when. */
export interface Opening {
  readonly recipient: string;
  readonly at: string;
  readonly keys: number;
}

const openingSchema: z.ZodType<Opening> = z.object({
  recipient: z.string(),
  at: z.iso.datetime(),
  keys: z.int().nonnegative(),
});

async function recordOpened(
  store: EncryptedStore,
  files: readonly KeyFileState[],
  options: Cancellable,
): Promise<void> {
  const data = files.filter((file) => file.state === 'opened' && file.purpose === 'data');
  const recipients = new Set(data.flatMap((file) => (file.state === 'opened' ? [file.by] : [])));
  for (const recipient of recipients) {
    const keys = data.filter((file) => file.state === 'opened' && file.by === recipient).length;
    const opening: Opening = { recipient, at: new Date().toISOString(), keys };
    const name = sha256Hex(Buffer.from(recipient)).slice(0, 16);
    await replaceSealed(store, `${OPENED_FOLDER}${name}.json`, opening, options);
  }
}

/** When each recipient was last found able to open data by `checkKeys`, the newest first. */
export async function lastOpened(
  store: EncryptedStore,
  options: Cancellable = {},
): Promise<readonly Opening[]> {
  const keys = await Array.fromAsync(store.list(OPENED_FOLDER, options), ({ key }) => key);
  const openings = await Promise.all(keys.map((key) => getSealed(store, key, openingSchema, options)));
  return openings.sort((one, other) => other.at.localeCompare(one.at));
}

/**
 * Encrypts every key file to the recipients that the plan now names. The data stay as they are: only these small files are rewritten. Opens all of them
 * first, so that nothing changes if one can't be opened. Returns how many there are.
 *
 * Throws (permanent) what opening a key file throws, naming it; `ENCRYPTION_NO_IDENTITY` where this worker lacks the plan's metadata identity.
 */
export async function rewrapKeys(store: EncryptedStore, options: Cancellable = {}): Promise<number> {
  const ids = (await store.keyFiles(options)).flatMap((name) => keyIdOf(name) ?? []);
  const opened = [];
  for (const id of ids) opened.push((await store.keyring.open(id, ['identity', 'metadataIdentity'])).key);
  const recipients = {
    metadata: await store.keyring.recipientsOf('metadata'),
    data: await store.keyring.recipientsOf('data'),
  };
  for (const key of opened) {
    await store.keyring.put(key, recipients[key.purpose], { replace: true, ...options });
  }
  return opened.length;
}

/** The name of a key file. */
export function fileOf({ id }: KeyFileState): string {
  return keyFileName(id);
}
