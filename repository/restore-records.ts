import { z } from 'zod';
import type { LeftOut } from '../model/backup.ts';
import { restoreRecordKey } from './layout.ts';
import { openSealedJson, sealJson } from './sealed-json.ts';
import { getSealedIfThere, replaceSealed, sealOnce } from './sealed-object.ts';
import { sha256Hex } from './sha256.ts';
import type { Cancellable, Store } from './store.ts';
import { ifThere } from './store-errors.ts';

/**
 * Says that a restore has come to its end: its data are complete, and only names still have to change. It is written once, right before the names change, and
 * stays. A restore that finds its own record does nothing more. Without it, a Temporal that was put back to an older state would run the restore again, over
 * what was written since.
 */
export interface RestoreRecord {
  readonly plan: string;
  readonly backup: string;
  readonly restore: string;
  /** ISO 8601, UTC. */
  readonly sealedAt: string;
  readonly databases: readonly RecordedDatabase[];
  /** What was compared before the record was written, a clause. */
  readonly compared?: string;
  /** What could not be compared or done, a sentence each. */
  readonly notes?: readonly string[];
  /** Present: something could be shown neither right nor wrong, so the verdict is INCONCLUSIVE. */
  readonly unclear?: true;
  /** What came back, and what didn't. Absent in records of older versions. */
  readonly result?: {
    readonly rows: number;
    /** Before compression. */
    readonly bytes: number;
    readonly problems: readonly string[];
    readonly leftOut: readonly LeftOut[];
    /** Present: rows may be missing, and the backup doesn't say whether they are. */
    readonly unclear?: true;
  };
}

/** One database of a restore as the record describes it. */
export interface RecordedDatabase {
  /** Its name at the source. */
  readonly from: string;
  /** Its name in the end. */
  readonly to: string;
  /** Its name until then. */
  readonly working: string;
  /** True: the restore created the database. False: it existed before, and was empty. */
  readonly created: boolean;
  /** The name that the database now called `to` will get. Absent where there is no such database. */
  readonly kept?: string;
}

const schema: z.ZodType<RestoreRecord> = z.object({
  plan: z.string(),
  backup: z.string(),
  restore: z.string(),
  sealedAt: z.iso.datetime(),
  databases: z.array(
    z.object({
      from: z.string(),
      to: z.string(),
      working: z.string(),
      created: z.boolean(),
      kept: z.string().exactOptional(),
    }),
  ),
  compared: z.string().exactOptional(),
  notes: z.array(z.string()).exactOptional(),
  unclear: z.literal(true).exactOptional(),
  result: z
    .object({
      rows: z.number(),
      unclear: z.literal(true).exactOptional(),
      bytes: z.number(),
      problems: z.array(z.string()),
      leftOut: z.array(
        z.object({
          kind: z.string(),
          name: z.string(),
          error: z.string(),
          sql: z.string(),
          because: z.enum(['error', 'selection']),
          instead: z.literal('NOT VALID').exactOptional(),
        }),
      ),
    })
    .exactOptional(),
});

/** Writes the record unless there is one. Returns the record that holds. */
export async function sealRestore(
  store: Store,
  record: RestoreRecord,
  options: Cancellable = {},
): Promise<RestoreRecord> {
  const sealed = await sealOnce(store, restoreRecordKey(record), record, schema, options);
  return sealed.record;
}

/** The record of a restore. Undefined where the restore isn't complete. Throws `STORE_DAMAGED` (permanent). */
export async function findRestoreRecord(
  store: Store,
  ref: Pick<RestoreRecord, 'plan' | 'restore'>,
  options: Cancellable = {},
): Promise<RestoreRecord | undefined> {
  return await getSealedIfThere(store, restoreRecordKey(ref), schema, options);
}

/** SHA-256 of a record in its stored form. */
export function restoreRecordDigest(record: RestoreRecord): string {
  return sha256Hex(sealJson(record));
}

/** As `findRestoreRecord`, with the SHA-256 of the stored bytes. */
export async function findStoredRestore(
  store: Store,
  ref: Pick<RestoreRecord, 'plan' | 'restore'>,
  options: Cancellable = {},
): Promise<{ readonly record: RestoreRecord; readonly sha256: string } | undefined> {
  const key = restoreRecordKey(ref);
  const bytes = await ifThere(store.get(key, options));
  if (bytes === undefined) return undefined;
  const record = openSealedJson(bytes, schema, `${key} in ${store.description}`);
  return { record, sha256: sha256Hex(bytes) };
}

/**
 * Writes the record over whatever is there. For restores whose databases know the record's SHA-256 (`engines/ysql/restore/vouched-record.ts`): another record
 * there comes from an attempt that compared the same, or is a forgery.
 */
export async function putRestoreRecord(
  store: Store,
  record: RestoreRecord,
  options: Cancellable = {},
): Promise<void> {
  await replaceSealed(store, restoreRecordKey(record), record, options);
}
