import { defined } from '../model/defined.ts';
import { type HoldfastError, permanent } from '../model/errors.ts';
import type { Manifest } from '../model/manifest.ts';
import { checkAllShared, checkAllThere } from './backups/completeness.ts';
import { findManifest, type NamedObject, readNamedObjects, readStoredManifest } from './backups/manifest.ts';
import { readSharedObjects } from './backups/shared-objects.ts';
import { forEachBounded } from './bounded.ts';
import { type BackupId, backupFolder, manifestKey } from './layout.ts';
import { spare } from './objects/condemned.ts';
import { type IndexedObject, ObjectIndex } from './objects/object-index.ts';
import { ensureRepository } from './repository.ts';
import { holdLocks } from './retention/locks.ts';
import { sha256Hex } from './sha256.ts';
import { distrusted } from './signing/errors.ts';
import { confirmRegister, enterRegister } from './signing/register.ts';
import { signatureOf, signObject } from './signing/signed-object.ts';
import type { Cancellable, Store } from './store.ts';

type CopyProgress = {
  readonly copiedObjects: number;
  readonly copiedBytes: number;
  /** Objects that an earlier, interrupted copy left at the target. */
  readonly presentObjects: number;
};

interface CopyOptions {
  /** Objects under way at once, each held in memory. Default 4. */
  readonly concurrency?: number;
  readonly progress?: (progress: CopyProgress) => void;
  readonly signal?: AbortSignal;
}

interface CopyResult {
  /** Number of all objects of the backup. */
  readonly objects: number;
  readonly copiedObjects: number;
  readonly copiedBytes: number;
  readonly manifestSha256: string;
}

/**
 * Copies a backup into a second repository: first its objects, each checked by its SHA-256 when it is read and when it is written, then the manifest, byte for
 * byte. A call after a crash sends only what the target lacks.
 *
 * Throws (permanent) what reading the source and signing at the target throw; `SIGNATURE_MISSING` (`_FOREIGN`, `_FORGED`) where the target is signed and the
 * copied backup has no trusted signature; `COPY_CONFLICT` where the target has another backup of this name; `COPY_SWEPT` where a sweep at the target deletes
 * shared objects that the copy needs.
 */
export async function copyBackup(
  from: Store,
  to: Store,
  ref: BackupId,
  options: CopyOptions = {},
): Promise<CopyResult> {
  const cancellable = defined({ signal: options.signal });
  const startedAt = to.locks?.now() ?? new Date();
  const source = await readStoredManifest(from, ref, cancellable);
  let progress: CopyProgress = { copiedObjects: 0, copiedBytes: 0, presentObjects: 0 };
  const result = (): CopyResult => ({
    objects: source.manifest.totals.objects,
    copiedObjects: progress.copiedObjects,
    copiedBytes: progress.copiedBytes,
    manifestSha256: source.sha256,
  });

  await requireVouched(from, to, ref, cancellable);
  await ensureRepository(to, cancellable);
  const already = await findManifest(to, ref, cancellable);
  if (already !== undefined) {
    checkSame(source.sha256, already.sha256, to, ref);
    await confirmRegister(to, ref, cancellable);
    return result();
  }

  const sizes = new Map<string, number>();
  /** Objects that an interrupted copy left, whose locks date from that time. */
  const present: string[] = [];
  const copyOne = async ({ entry }: NamedObject): Promise<void> => {
    const key = backupFolder(ref) + entry.key;
    sizes.set(entry.key, entry.sizeBytes);
    const there = await to.head(key, { checksum: true, sizeBytes: entry.sizeBytes, ...cancellable });
    if (there?.sizeBytes === entry.sizeBytes && there.sha256 === entry.sha256) {
      progress = { ...progress, presentObjects: progress.presentObjects + 1 };
      present.push(key);
    } else {
      const bytes = await from.get(key, { expect: entry, ...cancellable });
      // The put may replace an object. Without a manifest, nothing relies on what an interrupted copy or a bad disk left.
      await to.put(key, bytes, { sha256: entry.sha256, ifAbsent: false, ...cancellable });
      progress = {
        ...progress,
        copiedObjects: progress.copiedObjects + 1,
        copiedBytes: progress.copiedBytes + entry.sizeBytes,
      };
    }
    options.progress?.(progress);
  };
  await forEachBounded(
    readNamedObjects(from, source.manifest, cancellable),
    options.concurrency ?? 4,
    copyOne,
  );

  const shared = await copyShared(from, to, source.manifest, options, (copiedBytes) => {
    progress = {
      copiedObjects: progress.copiedObjects + (copiedBytes === undefined ? 0 : 1),
      copiedBytes: progress.copiedBytes + (copiedBytes ?? 0),
      presentObjects: progress.presentObjects + (copiedBytes === undefined ? 1 : 0),
    };
    options.progress?.(progress);
  });

  // M2, M3: a manifest names only objects that exist, and is written last, once, by a conditional put.
  await checkAllShared(to, ref, shared, cancellable);
  await checkAllThere(to, ref, sizes, cancellable);
  await holdLocks(to, [...shared.keys(), ...present], startedAt, cancellable);
  const bytes = await from.get(manifestKey(ref), cancellable);
  checkSame(source.sha256, sha256Hex(bytes), from, ref);
  await vouchFor(to, ref, bytes, cancellable);
  const outcome = await to.put(manifestKey(ref), bytes, {
    sha256: source.sha256,
    ifAbsent: true,
    ...cancellable,
  });
  await confirmRegister(to, ref, cancellable);
  if (outcome === 'exists') {
    checkSame(source.sha256, (await readStoredManifest(to, ref, cancellable)).sha256, to, ref);
  }
  return result();
}

/**
 * Makes sure that the target's key doesn't vouch for what anybody who can write at the source put there. If the source is signed, reading its manifest has
 * checked that. Otherwise the target itself must trust the manifest's signature.
 */
async function requireVouched(
  from: Store,
  to: Store,
  ref: BackupId,
  cancellable: Cancellable,
): Promise<void> {
  if (to.signing === undefined || from.signing !== undefined) return;
  const key = manifestKey(ref);
  const found = await signatureOf(from, to.signing, key, await from.get(key, cancellable), cancellable);
  if (found.state === 'trusted') return;
  throw distrusted(
    `The backup ${ref.backup} of plan ${ref.plan} in ${from.description}`,
    found,
    `Give the Repository that is copied from \`signing\` too (docs/signing.md): ${to.description} is signed, and its key vouches for nothing that anybody could have written.`,
  );
}

/** At a signed target: signs the manifest with the target's key, unless its own signature is trusted there, and enters it in the register. */
async function vouchFor(
  to: Store,
  ref: BackupId,
  manifest: Uint8Array,
  cancellable: Cancellable,
): Promise<void> {
  if (to.signing === undefined) return;
  const key = manifestKey(ref);
  const { state } = await signatureOf(to, to.signing, key, manifest, cancellable);
  if (state !== 'trusted') await signObject(to, to.signing, key, manifest, cancellable);
  await enterRegister(to, ref, sha256Hex(manifest), cancellable);
}

/**
 * Copies the shared objects that the target lacks. Then writes their index, so that backups made at the target can share them too, and keeps sweeps there from
 * deleting them (O1, O3).
 *
 * @returns the size of each shared object of the backup, by key
 */
async function copyShared(
  from: Store,
  to: Store,
  manifest: Manifest,
  options: CopyOptions,
  report: (copiedBytes: number | undefined) => void,
): Promise<Map<string, number>> {
  const cancellable = defined({ signal: options.signal });
  const sizes = new Map<string, number>();
  const copied: IndexedObject[] = [];
  await forEachBounded(
    readSharedObjects(from, manifest, cancellable),
    options.concurrency ?? 4,
    async (object) => {
      const { ranges, key, sha256 } = object;
      const entry = { key, sizeBytes: object.sizeBytes, sha256 };
      if (sizes.has(entry.key)) return;
      sizes.set(entry.key, entry.sizeBytes);
      const { sizeBytes } = entry;
      const there = await to.head(entry.key, { checksum: true, sizeBytes, ...cancellable });
      if (there?.sizeBytes === entry.sizeBytes && there.sha256 === entry.sha256) return report(undefined);
      const bytes = await from.get(entry.key, { expect: entry, ...cancellable });
      await to.put(entry.key, bytes, { sha256: entry.sha256, ifAbsent: false, ...cancellable });
      copied.push({ ...entry, ranges });
      report(entry.sizeBytes);
    },
  );
  if (copied.length > 0) await new ObjectIndex(to).write(copied, cancellable);
  const [swept] = await spare(to, new Set(sizes.keys()), cancellable);
  if (swept !== undefined) throw sweptAt(to, swept);
  return sizes;
}

/** A writer sends what is swept under another name (O4). A copy has the names of the original. */
function sweptAt(target: Store, key: string): HoldfastError {
  return permanent(
    'COPY_SWEPT',
    `A clean-up of ${target.description} deletes objects that the copy needs, and a copy has no other names for them; one is ${key}.`,
    'The backup itself is whole where it was made, and stays without this copy. Copies go on once two days have passed since that clean-up and a later prune there has forgotten it; until then give the step `copy` another repository.',
  );
}

function checkSame(expected: string, found: string, store: Store, ref: BackupId): void {
  if (expected === found) return;
  throw permanent(
    'COPY_CONFLICT',
    `${store.description} holds another backup ${ref.backup} of plan ${ref.plan} than the one that is copied.`,
    'Copy into another repository, or find out who wrote the one that is there.',
  );
}
