import { z } from 'zod';
import { restoreRecordKey, rewindNoteKey } from './layout.ts';
import { getSealedIfThere, putSealed, sealOnce } from './sealed-object.ts';
import type { Cancellable, Store } from './store.ts';

/**
 * Says that a rewind within a universe has passed its point of no return. It is written once, right before the universe is first asked
 * to go back, and stays. Without it, a Temporal that was put back to an older state would rewind again, over whatever was written
 * since.
 */
export interface RewindRecord {
  readonly plan: string;
  readonly restore: string;
  readonly way: 'rewind';
  /** The instant to which it goes back, ISO 8601, UTC. */
  readonly instant: string;
  /** ISO 8601, UTC. */
  readonly sealedAt: string;
  /** In the order in which they are rewound. */
  readonly databases: readonly string[];
  /** Ids of the restorations that the universe knew then. None of them is part of this rewind. */
  readonly restorationsBefore: readonly string[];
}

/** A fact about the rewind of one database. Each note is written once and stays. */
interface RewindNote {
  /** ISO 8601, UTC. */
  readonly at: string;
  /** Id in the universe. */
  readonly restoration: string;
}

/** `asked`: the universe has begun. `rewound`: it has ended successfully. */
type RewindStep = 'asked' | 'rewound';

const recordSchema: z.ZodType<RewindRecord> = z.object({
  plan: z.string(),
  restore: z.string(),
  way: z.literal('rewind'),
  instant: z.iso.datetime(),
  sealedAt: z.iso.datetime(),
  databases: z.array(z.string()),
  restorationsBefore: z.array(z.string()),
});

const noteSchema: z.ZodType<RewindNote> = z.object({ at: z.iso.datetime(), restoration: z.string() });

type RewindRef = Pick<RewindRecord, 'plan' | 'restore'>;

/** The record of a rewind. Undefined where the universe has not been asked yet. Throws `STORE_DAMAGED` (permanent). */
export function findRewindRecord(
  store: Store,
  ref: RewindRef,
  options: Cancellable = {},
): Promise<RewindRecord | undefined> {
  return getSealedIfThere(store, restoreRecordKey(ref), recordSchema, options);
}

/** Writes the record unless there is one. Returns the record that holds, and whether this call wrote it. */
export function sealRewind(
  store: Store,
  record: RewindRecord,
  options: Cancellable = {},
): Promise<{ readonly record: RewindRecord; readonly isNew: boolean }> {
  return sealOnce(store, restoreRecordKey(record), record, recordSchema, options);
}

/** @param database index of the database in the record */
export function readRewindNote(
  store: Store,
  ref: RewindRef,
  database: number,
  step: RewindStep,
  options: Cancellable = {},
): Promise<RewindNote | undefined> {
  return getSealedIfThere(store, rewindNoteKey(ref, database, step), noteSchema, options);
}

/** Writes the note unless there is one. @param database index of the database in the record */
export async function writeRewindNote(
  store: Store,
  ref: RewindRef,
  database: number,
  step: RewindStep,
  note: RewindNote,
  options: Cancellable = {},
): Promise<void> {
  await putSealed(store, rewindNoteKey(ref, database, step), note, options);
}
