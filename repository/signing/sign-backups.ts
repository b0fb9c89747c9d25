import type { VerifyReport } from '../../model/backup.ts';
import { permanent } from '../../model/errors.ts';
import { archivedDatabases, readTimeline, timelineNames } from '../archive/archive.ts';
import { timelineKey } from '../archive/names.ts';
import { readStoredManifest } from '../backups/manifest.ts';
import { verifyBackup } from '../backups/verify.ts';
import { type BackupId, manifestKey, REPOSITORY_KEY } from '../layout.ts';
import { readRepository } from '../repository.ts';
import { sha256Hex } from '../sha256.ts';
import type { Cancellable, Store } from '../store.ts';
import { distrusted, type SignatureState } from './errors.ts';
import { enterRegister } from './register.ts';
import { signatureOf, signObject } from './signed-object.ts';
import type { Signing } from './signing.ts';

/** A repository as its plan has it, and once more opened as if nothing were signed: to read what nobody has signed yet. */
export interface SigningPlace {
  readonly store: Store;
  /** The signing settings of `store`. */
  readonly signing: Signing;
  readonly unsigned: Store;
}

export type SignOutcome =
  | { readonly backup: string; readonly outcome: 'signed' | 'already' }
  /** `report`: what was found when every byte of the backup was read. */
  | { readonly backup: string; readonly outcome: 'refused'; readonly report: VerifyReport };

/**
 * Signs the repository's own document if nobody has. Throws (permanent) `SIGNATURE_FOREIGN` and `SIGNATURE_FORGED` if somebody else has, as `readRepository`,
 * and as `Signing.sign`.
 */
export async function signRepository(
  { store, signing, unsigned }: SigningPlace,
  options: Cancellable = {},
): Promise<'signed' | 'already'> {
  await readRepository(unsigned, options);
  const bytes = await unsigned.get(REPOSITORY_KEY, options);
  const found = await signatureOf(store, signing, REPOSITORY_KEY, bytes, options);
  if (found.state === 'trusted') return 'already';
  if (found.state !== 'unsigned') {
    throw distrusted(
      `${REPOSITORY_KEY} in ${store.description}`,
      found,
      'Put back an older version of it from the bucket’s versions or a copy.',
    );
  }
  await signObject(store, signing, REPOSITORY_KEY, bytes, options);
  return 'signed';
}

/**
 * Signs those descriptions of the archive's timelines that nobody has signed. A replay trusts them to say since when every transaction is archived, and of
 * which tables; the person who asks for the signature must know that they are right. Returns their keys. Throws (permanent) `SIGNATURE_FOREIGN` and
 * `SIGNATURE_FORGED` where somebody else signed one, and as `Signing.sign`.
 */
export async function signTimelines(
  { store, signing, unsigned }: SigningPlace,
  plan: string,
  options: Cancellable = {},
): Promise<readonly string[]> {
  const signed: string[] = [];
  for (const database of await archivedDatabases(unsigned, plan, options)) {
    const id = { plan, database };
    for (const name of await timelineNames(unsigned, id, options)) {
      if ((await readTimeline(unsigned, id, name, options)) === undefined) continue;
      const key = timelineKey(id, name);
      const bytes = await unsigned.get(key, options);
      const found = await signatureOf(store, signing, key, bytes, options);
      if (found.state === 'trusted') continue;
      if (found.state !== 'unsigned') {
        throw distrusted(
          `${key} in ${store.description}`,
          found,
          'Put back an older version of it from the bucket’s versions or a copy.',
        );
      }
      await signObject(store, signing, key, bytes, options);
      signed.push(key);
    }
  }
  return signed;
}

/**
 * Signs a backup that was made without signatures, or by a key that is no longer trusted, and enters it in the register. First reads every byte of it and finds
 * it whole. That doesn't say who made it; the person who asks for the signature must know.
 *
 * Throws (permanent) `SIGNATURE_FORGED` where its manifest is not what somebody signed, `BACKUP_CHANGED` where it was changed meanwhile, as `readManifest`, and
 * as `Signing.sign`.
 */
export async function signBackup(
  { store, signing, unsigned }: SigningPlace,
  ref: BackupId,
  options: Cancellable & { readonly progress?: (checkedObjects: number) => void } = {},
): Promise<SignOutcome> {
  const { progress, ...cancellable } = options;
  const { backup } = ref;
  // Ask for the key first: without one, all the reading would be in vain.
  await signing.key();
  const before = await readStoredManifest(store, ref, { ...cancellable, signedBy: 'any' });
  const state: SignatureState = before.signature ?? { state: 'unsigned' };
  if (state.state === 'trusted') return { backup, outcome: 'already' };
  if (state.state === 'forged') {
    throw distrusted(`The backup ${backup} of plan ${ref.plan}`, state, 'It can’t be signed: delete it.');
  }
  const report = await verifyBackup(unsigned, ref, 'content', {
    ...cancellable,
    progress: ({ checkedObjects }) => progress?.(checkedObjects),
  });
  if (report.verdict !== 'OK') return { backup, outcome: 'refused', report };
  const key = manifestKey(ref);
  const bytes = await unsigned.get(key, cancellable);
  const sha256 = sha256Hex(bytes);
  if (sha256 !== before.sha256) {
    throw permanent(
      'BACKUP_CHANGED',
      `The manifest of the backup ${backup} of plan ${ref.plan} was changed while its contents were read.`,
      'Find out who writes there before anything is signed.',
    );
  }
  // The register comes first: cut off behind the signature, nobody would enter the backup any more, and it would count as brought back.
  await enterRegister(store, ref, sha256, cancellable);
  await signObject(store, signing, key, bytes, cancellable);
  return { backup, outcome: 'signed' };
}
