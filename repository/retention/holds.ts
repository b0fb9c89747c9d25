import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { type HoldfastError, permanent, recover } from '../../model/errors.ts';
import type { Hold } from '../../model/hold.ts';
import { readStoredManifest } from '../backups/manifest.ts';
import { type BackupId, holdKey, holdsFolder } from '../layout.ts';
import { isDistrusted } from '../signing/errors.ts';
import { getSigned, putSigned, replaceSigned } from '../signing/signed-object.ts';
import type { Cancellable, Store } from '../store.ts';
import { isDamage } from '../store-errors.ts';
import { findMark } from './marks.ts';

/* A hold keeps a backup from being deleted until somebody releases it. A released hold's record stays, and says who did what. */

const holdSchema: z.ZodType<Hold> = z.object({
  plan: z.string(),
  backup: z.string(),
  id: z.string(),
  reason: z.string(),
  by: z.string(),
  at: z.iso.datetime(),
  released: z.object({ at: z.iso.datetime(), by: z.string(), reason: z.string() }).exactOptional(),
});

/** A hold whose record can't be read, or that no trusted key signed. It keeps the backup. */
export interface UnreadableHold extends BackupId {
  readonly id: string;
  readonly problem: string;
}

export type FoundHold = Hold | UnreadableHold;

/**
 * Holds a backup. Writes the record first, and then looks whether a deletion has begun, so that at least one of the two sees the other (`pins.ts`). A deletion
 * that has ended leaves no mark, but no manifest either.
 * Throws (permanent) `BACKUP_BEING_DELETED`; `BACKUP_NOT_FOUND` and `BACKUP_DISCARDED` where there is no backup to hold; and in a signed repository as
 * `Signing.sign`.
 */
export async function holdBackup(
  store: Store,
  ref: BackupId,
  who: { readonly reason: string; readonly by: string },
  options: Cancellable = {},
): Promise<Hold> {
  const { plan, backup } = ref;
  const absence = await absenceOf(store, ref, options);
  if (absence !== undefined) throw absence;
  const hold: Hold = { plan, backup, id: randomUUID(), ...who, at: new Date().toISOString() };
  await putSigned(store, holdKey(ref, hold.id), hold, options);
  const isDeleting = (await findMark(store, ref, options))?.deleting === true;
  if (!isDeleting && (await absenceOf(store, ref, options)) === undefined) return hold;
  await writeRelease(store, hold, { by: who.by, reason: 'it was being deleted already' }, options);
  throw permanent(
    'BACKUP_BEING_DELETED',
    `The backup ${backup} of plan ${plan} is being deleted.`,
    'It can’t be held any more: look for a copy.',
  );
}

/** Why there is no backup to hold. Undefined where a manifest exists, even a damaged one or one that no trusted key signed. */
async function absenceOf(
  store: Store,
  ref: BackupId,
  options: Cancellable,
): Promise<HoldfastError | undefined> {
  const reading = readStoredManifest(store, ref, { ...options, signedBy: 'any' });
  const isAbsence = ({ code }: HoldfastError) => code === 'BACKUP_NOT_FOUND' || code === 'BACKUP_DISCARDED';
  return await recover(
    reading.then(() => undefined),
    (error) => isAbsence(error) || isDamage(error) || error.code === 'FORMAT_TOO_NEW',
    (error) => (isAbsence(error) ? error : undefined),
  );
}

/** Releases every hold of a backup, also those that can't be read. Returns their number. Throws in a signed repository as `Signing.sign`. */
export async function releaseBackup(
  store: Store,
  ref: BackupId,
  who: { readonly reason: string; readonly by: string },
  options: Cancellable = {},
): Promise<number> {
  const holds = (await readHolds(store, ref, options)).filter(isInForce);
  for (const found of holds) {
    const unreadable = { reason: 'unreadable', by: 'unknown', at: new Date(0).toISOString() };
    await writeRelease(
      store,
      'problem' in found ? { ...ref, id: found.id, ...unreadable } : found,
      who,
      options,
    );
  }
  return holds.length;
}

async function writeRelease(
  store: Store,
  hold: Hold,
  who: { readonly reason: string; readonly by: string },
  options: Cancellable,
): Promise<void> {
  const released = { at: new Date().toISOString(), ...who };
  await replaceSigned(store, holdKey(hold, hold.id), { ...hold, released }, options);
}

/** True for a hold that keeps its backup at present. */
export function isInForce(hold: FoundHold): boolean {
  return 'problem' in hold || hold.released === undefined;
}

/** `<backup>/<id>.json`. Objects of other names are no holds: no release would reach them. */
const HOLD = /^([^/]+)\/([^/]+)\.json$/;

/** Every hold of a plan, or of one backup, including released ones. A record that can't be read counts as a hold. */
export async function readHolds(
  store: Store,
  { plan, backup }: { readonly plan: string; readonly backup?: string },
  options: Cancellable = {},
): Promise<readonly FoundHold[]> {
  const folder = holdsFolder(plan);
  const holds: FoundHold[] = [];
  for await (const { key } of store.list(`${folder}${backup === undefined ? '' : `${backup}/`}`, options)) {
    const [, held, id] = HOLD.exec(key.slice(folder.length)) ?? [];
    if (held === undefined || id === undefined) continue;
    holds.push(await readHold(store, key, { plan, backup: held, id }, options));
  }
  return holds;
}

async function readHold(
  store: Store,
  key: string,
  ref: Omit<UnreadableHold, 'problem'>,
  options: Cancellable,
): Promise<FoundHold> {
  const hold = await recover(
    getSigned(store, key, holdSchema, options),
    (error) => isDamage(error) || isDistrusted(error),
    ({ message }) => ({ ...ref, problem: message }),
  );
  const isOwn = hold.plan === ref.plan && hold.backup === ref.backup && hold.id === ref.id;
  return isOwn ? hold : { ...ref, problem: 'its record is that of another backup' };
}

/** One clause for people. */
export function holdText(hold: FoundHold): string {
  return 'problem' in hold
    ? `a hold that can’t be read (${hold.problem})`
    : `held by ${hold.by} since ${hold.at}: ${hold.reason}`;
}
