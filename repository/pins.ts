import { z } from 'zod';
import { HoldfastError, permanent } from '../model/errors.ts';
import { type BackupId, pinKey, pinsFolder } from './layout.ts';
import { findMark } from './marks.ts';
import { getSealedIfThere, replaceSealed } from './sealed-object.ts';
import { sha256Hex } from './sha256.ts';
import type { Store } from './store.ts';

type Cancellable = { readonly signal?: AbortSignal };

/**
 * Says that somebody reads a backup, so that it isn't deleted meanwhile. A reader that dies leaves its pin: where it ran as a
 * workflow, that workflow's end is the pin's end, whoever asks Temporal; else the pin ends at `expiresAt`.
 */
export interface Pin {
  readonly plan: string;
  readonly backup: string;
  /** Workflow id of the reader, with the activity where that alone reads. */
  readonly reader: string;
  readonly workflowId: string;
  /** Which Temporal knows that workflow: the id of its namespace; absent where it can't be told. */
  readonly namespaceId?: string;
  readonly pinnedAt: string;
  readonly expiresAt: string;
  /** The reader is done, and had no right to delete its pin. */
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
 * Pins a backup before it is read. The pin is written first, and only then is it looked whether deletion has begun; who
 * deletes says so first, and only then looks for pins. So at least one of the two sees the other.
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
    // The pin ends with its workflow; what the reader must know is the refusal.
    refusal.cause = error;
  }
  throw refusal;
}

/** Ends a pin: deletes it, or, by credentials that may not delete, says in it that it has ended; a prune deletes it then. */
export async function removePin(
  store: Store,
  ref: BackupId & Pick<Pin, 'reader'>,
  options: Cancellable = {},
): Promise<void> {
  try {
    await store.delete([keyOf(ref)], options);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'STORE_DENIED') throw error;
    const pin = await getSealedIfThere(store, keyOf(ref), pinSchema, options);
    if (pin !== undefined) await replaceSealed(store, keyOf(ref), { ...pin, ended: true }, options);
  }
}

/**
 * All pins of a plan, or of one backup; those that have ended among them. Throws `STORE_DAMAGED` (permanent) naming one: who
 * can't tell what is read deletes nothing.
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
