import { z } from 'zod';
import { permanent } from '../../model/errors.ts';
import { type BackupId, pinKey, pinsFolder } from '../layout.ts';
import { getSealedIfThere, replaceSealed } from '../sealed-object.ts';
import { sha256Hex } from '../sha256.ts';
import type { Cancellable, Store } from '../store.ts';
import { staysForPrune } from '../store-errors.ts';
import { findMark } from './marks.ts';

/**
 * Says that a backup is being read, so that it isn't deleted meanwhile. A reader that dies leaves its pin behind. If it ran as a
 * workflow, Temporal is asked for that workflow, and the pin ends with it. Otherwise the pin ends at `expiresAt`.
 */
export interface Pin {
  readonly plan: string;
  readonly backup: string;
  /** Workflow id of the reader. If only one activity of it reads, with that activity's id. */
  readonly reader: string;
  readonly workflowId: string;
  /** Id of the Temporal namespace that knows the workflow. Absent where it isn't known. */
  readonly namespaceId?: string;
  readonly pinnedAt: string;
  readonly expiresAt: string;
  /** True: the reader has finished, but its credentials could not delete the pin. */
  readonly ended?: boolean;
}

const pinSchema: z.ZodType<Pin> = z.object({
  plan: z.string(),
  backup: z.string(),
  reader: z.string(),
  workflowId: z.string(),
  namespaceId: z.string().exactOptional(),
  pinnedAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
  ended: z.boolean().exactOptional(),
});

/**
 * Pins a backup before it is read. A reader first writes its pin, and then looks whether deletion has begun. A deleter first
 * writes that it begins, and then looks for pins. So at least one of the two sees the other.
 *
 * Throws `BACKUP_BEING_DELETED` (permanent).
 */
export async function putPin(store: Store, pin: Pin, options: Cancellable = {}): Promise<void> {
  await replaceSealed(store, keyOf(pin), pin, options);
  const mark = await findMark(store, pin, options);
  if (mark?.deleting !== true) return;
  const refusal = permanent(
    'BACKUP_BEING_DELETED',
    `The backup ${pin.backup} of plan ${pin.plan} is being deleted by retention.`,
    'Choose another one (`holdfast list`).',
  );
  try {
    await removePin(store, pin, options);
  } catch (error) {
    // The caller must get the refusal, not this error. A pin that can't be removed ends with its workflow.
    refusal.cause = error;
  }
  throw refusal;
}

/** Ends a pin: deletes it. If the credentials may not delete, writes into the pin that it has ended, and a prune deletes it. */
export async function removePin(
  store: Store,
  ref: BackupId & Pick<Pin, 'reader'>,
  options: Cancellable = {},
): Promise<void> {
  try {
    await store.delete([keyOf(ref)], options);
  } catch (error) {
    if (!staysForPrune(error)) throw error;
    const pin = await getSealedIfThere(store, keyOf(ref), pinSchema, options);
    if (pin !== undefined) await replaceSealed(store, keyOf(ref), { ...pin, ended: true }, options);
  }
}

/**
 * All pins of a plan, or of one backup, including those that have ended. Throws `STORE_DAMAGED` (permanent) for a damaged one: a
 * prune that doesn't know what is being read must not delete anything.
 */
export async function readPins(
  store: Store,
  ref: { readonly plan: string; readonly backup?: string },
  options: Cancellable = {},
): Promise<readonly Pin[]> {
  const folder = `${pinsFolder(ref.plan)}${ref.backup === undefined ? '' : `${ref.backup}/`}`;
  const pins: Pin[] = [];
  for await (const { key } of store.list(folder, options)) {
    const pin = await getSealedIfThere(store, key, pinSchema, options);
    if (pin !== undefined) pins.push(pin);
  }
  return pins;
}

function keyOf(pin: BackupId & Pick<Pin, 'reader'>): string {
  return pinKey(pin, sha256Hex(Buffer.from(pin.reader)));
}
