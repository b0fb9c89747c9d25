import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import { z } from 'zod';
import type { DataObject, ObjectEntry } from '../../model/backup.ts';
import { type HoldfastError, permanent } from '../../model/errors.ts';
import type { Manifest } from '../../model/manifest.ts';
import { type BackupId, backupFolder, isShared, manifestKey } from '../layout.ts';
import { unpackJson } from '../objects/packed-json.ts';
import { dataObjectSchema, manifestSchema } from '../schema.ts';
import { openSealedJson } from '../sealed-json.ts';
import { checkFormatVersion } from '../sealed-object.ts';
import { sha256Hex } from '../sha256.ts';
import { distrusted, type SignatureState } from '../signing/errors.ts';
import { signatureOf } from '../signing/signed-object.ts';
import type { Cancellable, Store } from '../store.ts';
import { damaged, ifThere, isDamage } from '../store-errors.ts';
import { PackGatherer } from './packs.ts';

/** The format version of a manifest whose rows lie in shared objects. */
export const SHARED_ROWS_FORMAT_VERSION = 3;

/** The newest format version that this Holdfast reads. */
export const MANIFEST_FORMAT_VERSION = SHARED_ROWS_FORMAT_VERSION;

/** The version of a tombstone, and of a manifest that every Holdfast can read. */
export const PLAIN_FORMAT_VERSION = 1;

/** The format version of a manifest with packs, for programs that know no shared rows. */
export const PACKS_FORMAT_VERSION = 2;

/**
 * The format version of a manifest: the oldest that has all it needs. Pure.
 *
 * @param sharesRows whether any data object is the whole of a shared object; what lies in shared packs is seen by the packs
 */
export function formatVersionOf(
  { packs = [] }: Pick<Manifest, 'packs'>,
  sharesRows: boolean,
): Manifest['formatVersion'] {
  if (sharesRows || packs.some(({ key }) => isShared(key))) return SHARED_ROWS_FORMAT_VERSION;
  return packs.length === 0 ? PLAIN_FORMAT_VERSION : PACKS_FORMAT_VERSION;
}

/**
 * Replaces the manifest when a backup is given up before it has one, or is deleted. From then on no writer can finish the backup, and no reader takes
 * it for one.
 */
const tombstoneSchema = z.object({
  formatVersion: z.int(),
  discarded: z.object({
    at: z.iso.datetime(),
    reason: z.string(),
    /** True: a finished backup was deleted. */
    finished: z.boolean().exactOptional(),
  }),
});

/** A manifest as it is stored. */
export interface StoredManifest {
  readonly manifest: Manifest;
  /** SHA-256 of the stored manifest's bytes, in hex. */
  readonly sha256: string;
  /** Absent where the plan doesn't say that the repository is signed. */
  readonly signature?: SignatureState;
}

/** How a manifest is read. */
export interface ReadManifestOptions extends Cancellable {
  /**
   * `any`: also returns a manifest that no trusted key signed, and `signature` says so. For callers that only look at backups. Default: such a
   * manifest is refused, since a manifest decides which SQL is run.
   */
  readonly signedBy?: 'trusted' | 'any';
}

/**
 * The manifest of a backup. Checks its seal, its shape, its name, and its signature where the plan says that the repository is signed. Throws
 * (permanent) `BACKUP_NOT_FOUND`, `BACKUP_DISCARDED`, `STORE_DAMAGED` naming the manifest, `FORMAT_TOO_NEW`, `SIGNATURE_MISSING`,
 * `SIGNATURE_FOREIGN`, `SIGNATURE_FORGED`.
 */
export async function readManifest(
  store: Store,
  ref: BackupId,
  options: ReadManifestOptions = {},
): Promise<Manifest> {
  return (await readStoredManifest(store, ref, options)).manifest;
}

/** As `readManifest`, with the hash of the stored bytes. */
export async function readStoredManifest(
  store: Store,
  ref: BackupId,
  options: ReadManifestOptions = {},
): Promise<StoredManifest> {
  const found = await findManifest(store, ref, options);
  if (found !== undefined) return found;
  throw permanent(
    'BACKUP_NOT_FOUND',
    `There is no backup ${ref.backup} of plan ${ref.plan} in ${store.description}: ${manifestKey(ref)} is missing.`,
    'See which backups there are with `holdfast list`.',
  );
}

/** As `readStoredManifest`, but undefined where there is no manifest. */
export async function findManifest(
  store: Store,
  ref: BackupId,
  { signedBy = 'trusted', ...options }: ReadManifestOptions = {},
): Promise<StoredManifest | undefined> {
  const key = manifestKey(ref);
  const bytes = await ifThere(store.get(key, options));
  if (bytes === undefined) return undefined;
  const manifest = parseManifest(bytes, ref, store);
  const sha256 = sha256Hex(bytes);
  if (store.signing === undefined) return { manifest, sha256 };
  const signature = await signatureOf(store, store.signing, key, bytes, options);
  if (signature.state !== 'trusted' && signedBy === 'trusted') {
    throw distrustedManifest(ref, signature);
  }
  return { manifest, sha256, signature };
}

/** Whether a backup was complete once: it has a manifest that can be read, whoever signed it, or the tombstone of one that was deleted. */
export async function wasFinished(store: Store, ref: BackupId, options: Cancellable = {}): Promise<boolean> {
  const key = manifestKey(ref);
  const bytes = await ifThere(store.get(key, options));
  if (bytes === undefined) return false;
  try {
    const found = openSealedJson(bytes, z.looseObject({}), `${key} in ${store.description}`);
    const tombstone = tombstoneSchema.safeParse(found);
    return !tombstone.success || tombstone.data.discarded.finished === true;
  } catch (error) {
    if (isDamage(error)) return false;
    throw error;
  }
}

/** The refusal of a manifest that no trusted key signed. */
export function distrustedManifest(
  ref: BackupId,
  signature: Exclude<SignatureState, { readonly state: 'trusted' }>,
): HoldfastError {
  return distrusted(`The backup ${ref.backup} of plan ${ref.plan}`, signature, remedyFor(ref));
}

function remedyFor({ plan, backup }: BackupId): string {
  return `Don't restore it unless you know where it comes from. If it was made before the plan had \`signing\`: holdfast sign ${plan} ${backup} verifies its contents and signs it. To restore it unsigned, this once: holdfast restore ${plan} --backup ${backup} --trust-unsigned.`;
}

function parseManifest(bytes: Uint8Array, ref: BackupId, store: Store): Manifest {
  const key = manifestKey(ref);
  const what = `${key} in ${store.description}`;
  const outline = openSealedJson(bytes, z.looseObject({ formatVersion: z.int() }), what);
  checkFormatVersion(outline.formatVersion, MANIFEST_FORMAT_VERSION, what);
  const tombstone = tombstoneSchema.safeParse(outline);
  if (tombstone.success) {
    const { at, reason, finished } = tombstone.data.discarded;
    throw permanent(
      'BACKUP_DISCARDED',
      finished === true
        ? `The backup ${ref.backup} of plan ${ref.plan} was deleted at ${at}: ${reason}.`
        : `The backup ${ref.backup} of plan ${ref.plan} was discarded at ${at} without having been finished: ${reason}.`,
      finished === true ? 'Choose another one (`holdfast list`).' : 'Run a new backup.',
    );
  }
  const manifest = openSealedJson(bytes, manifestSchema, what);
  if (manifest.plan !== ref.plan || manifest.backup !== ref.backup) {
    throw damaged(
      key,
      store.description,
      `it is the manifest of the backup ${manifest.backup} of plan ${manifest.plan}`,
    );
  }
  return manifest;
}

/** Options for reading lists. */
interface ReadObjectsOptions extends Cancellable {
  /** Called for a list that is missing or damaged, whose objects are then left out. Absent: the error is thrown. */
  readonly onDamagedList?: (error: unknown) => void;
}

/**
 * The data objects that a manifest names, in its order, one list in memory at a time. Each list's size, SHA-256 and count
 * are checked; throws `STORE_NOT_FOUND` or `STORE_DAMAGED` (permanent) naming the list.
 */
export async function* readDataObjects(
  store: Store,
  manifest: Manifest,
  options: ReadObjectsOptions = {},
): AsyncGenerator<DataObject> {
  if ('inline' in manifest.data) {
    yield* manifest.data.inline;
    return;
  }
  const { onDamagedList, ...cancellable } = options;
  let count = 0;
  let skipped = false;
  for (const list of manifest.data.lists) {
    try {
      for (const object of await readObjectList(store, manifest, list, cancellable)) {
        count++;
        yield object;
      }
    } catch (error) {
      if (onDamagedList === undefined || !isDamage(error)) throw error;
      skipped = true;
      onDamagedList(error);
    }
  }
  if (!skipped && count !== manifest.data.count) {
    throw damaged(
      manifestKey(manifest),
      store.description,
      `its lists hold ${count} objects instead of ${manifest.data.count}`,
    );
  }
}

/** An object that a manifest names, with what the manifest says of it. */
export interface NamedObject {
  /** Its key is relative to the backup's folder. */
  readonly entry: ObjectEntry;
  /** Present for table data in an object of its own: its rows and uncompressed bytes are known. */
  readonly data?: DataObject;
  /** Present for a pack: the pieces in it. */
  readonly pieces?: readonly DataObject[];
}

/**
 * Every stored object in a backup's folder except the manifest, each once: lists, common and schema objects, then the data in the manifest's order. A
 * pack comes in the place of its last piece. Shared objects, which lie elsewhere, are those of `readSharedObjects`.
 */
export async function* readNamedObjects(
  store: Store,
  manifest: Manifest,
  options: ReadObjectsOptions = {},
): AsyncGenerator<NamedObject> {
  for (const entry of otherObjects(manifest)) yield { entry };
  const packs = new PackGatherer(manifest, store.description);
  for await (const data of readDataObjects(store, manifest, options)) {
    if (isShared(data.key)) continue;
    if (data.at === undefined) yield { entry: data, data };
    else {
      const pack = packs.add(data);
      if (pack !== undefined) yield pack;
    }
  }
  // These packs come last: a damaged list hid some of their pieces, or the lists name too few.
  yield* packs.rest;
}

/** The objects that the manifest names directly, besides data: lists, common and schema objects. */
export function otherObjects(manifest: Manifest): readonly ObjectEntry[] {
  return [
    ...('lists' in manifest.data ? manifest.data.lists : []),
    ...(manifest.tablets?.lists ?? []),
    ...manifest.commonObjects,
    ...manifest.databases.flatMap(({ schemaObjects }) => schemaObjects),
  ];
}

const compress = promisify(zstdCompress);
const LIST_COMPRESSION_LEVEL = 6;

/** The bytes of a list of data objects: a JSON array, zstd compressed. */
export async function encodeObjectList(objects: readonly DataObject[]): Promise<Uint8Array> {
  return compress(JSON.stringify(objects), {
    params: { [constants.ZSTD_c_compressionLevel]: LIST_COMPRESSION_LEVEL },
  });
}

async function readObjectList(
  store: Store,
  ref: BackupId,
  list: ObjectEntry,
  options: Cancellable,
): Promise<readonly DataObject[]> {
  const key = backupFolder(ref) + list.key;
  const bytes = await store.get(key, { expect: list, ...options });
  return unpackJson(bytes, z.array(dataObjectSchema), key, store.description);
}
