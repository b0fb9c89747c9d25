import { z } from 'zod';
import type { LeftOut } from '../model/backup.ts';
import { restoreRecordKey } from './layout.ts';
import { openSealedJson, sealJson } from './sealed-json.ts';
import { getSealedIfThere, replaceSealed, sealOnce } from './sealed-object.ts';
import { sha256Hex } from './sha256.ts';
import type { Store } from './store.ts';
import { ifThere } from './store-errors.ts';

type Cancellable = { readonly signal?: AbortSignal };

/**
 * Says that a restore has come to its end: what it brought back is complete, and only names are still to change. It is written
 * once, right before the names change, and stays. A restore that finds its own record does nothing more. Otherwise a Temporal that
 * was put back to an older state would run the restore again, over what was written since.
 */
export interface RestoreRecord {
  readonly plan: string;
  readonly backup: string;
  readonly restore: string;
  /** ISO 8601, UTC. */
  readonly sealedAt: string;
  readonly databases: readonly RecordedDatabase[];
  /** What was compared before, in a clause. */
  readonly compared?: string;
  /** What could not be compared or done, a sentence each. */
  readonly notes?: readonly string[];
  /** Something could be shown neither right nor wrong: the verdict is INCONCLUSIVE. */
  readonly unclear?: true;
  /** What came back, and what didn't; absent in records of older versions. */
  readonly result?: {
    readonly rows: number;
    /** Before compression. */
    readonly bytes: number;
    readonly problems: readonly string[];
    readonly leftOut: readonly LeftOut[];
    /** Rows may be missing, and the backup doesn't say whether they are. */
    readonly unclear?: true;
  };
}

/** One database of a restore as the record describes it. */
export interface RecordedDatabase {
  /** Its name at the source. */
  readonly from: string;
  /** The name that it is restored under. */
  readonly to: string;
  /** Its name until the names change. */
  readonly working: string;
  /** True: the restore created it. False: it existed before, empty. */
  readonly created: boolean;
  /** The later name of the database that now has the name `to`; absent where there is none. */
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

/** Writes the record unless it is there. Returns what holds. */
export async function sealRestore(
  store: Store,
  record: RestoreRecord,
  options: Cancellable = {},
): Promise<RestoreRecord> {
  const sealed = await sealOnce(store, restoreRecordKey(record), record, schema, options);
  return sealed.record;
}

/** The record of a restore; undefined where it has not come to its end. Throws `STORE_DAMAGED` (permanent). */
export async function findRestoreRecord(
  store: Store,
  ref: Pick<RestoreRecord, 'plan' | 'restore'>,
  options: Cancellable = {},
): Promise<RestoreRecord | undefined> {
  return await getSealedIfThere(store, restoreRecordKey(ref), schema, options);
}

/** SHA-256 of a record as it is stored. */
export function restoreRecordDigest(record: RestoreRecord): string {
  return sha256Hex(sealJson(record));
}

/** As `findRestoreRecord`, with the SHA-256 of what is stored. */
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
 * Writes the record over whatever is there. For a restore whose databases know the record's SHA-256 (`engines/ysql/restore/vouched-record.ts`): another record
 * that lies there is one of an attempt that compared the same, or somebody's forgery.
 */
export async function putRestoreRecord(
  store: Store,
  record: RestoreRecord,
  options: Cancellable = {},
): Promise<void> {
  await replaceSealed(store, restoreRecordKey(record), record, options);
}
