import { z } from 'zod';
import { inClusterFolder, inClusterKey } from './layout.ts';
import { getSealedIfThere } from './sealed-object.ts';
import { sha256Hex } from './sha256.ts';
import { getTrustedIfThere, replaceSigned } from './signing/signed-object.ts';
import type { Cancellable, Store } from './store.ts';

/** Records that a snapshot schedule of a universe belongs to a plan. The universe has no field for that. */
export interface ScheduleRecord {
  readonly plan: string;
  /** `ysql.orders` */
  readonly namespace: string;
  /** Absent while the schedule is being created. If the worker died then, the schedule may exist nevertheless. */
  readonly schedule?: string;
  /** True: somebody else had made the schedule. */
  readonly adopted: boolean;
  readonly intervalMs: number;
  readonly retentionMs: number;
  /** When the plan first wanted it, ISO 8601 in UTC. */
  readonly since: string;
}

const recordSchema: z.ZodType<ScheduleRecord> = z.object({
  plan: z.string(),
  namespace: z.string(),
  schedule: z.string().exactOptional(),
  adopted: z.boolean(),
  intervalMs: z.number(),
  retentionMs: z.number(),
  since: z.iso.datetime(),
});

/**
 * The record of a plan's schedule for a namespace. Undefined where there is none. In a signed repository, a schedule whose record no trusted key signed counts
 * as adopted: a forger could name anybody's, and the plan would delete it with its history. Throws `STORE_DAMAGED` (permanent).
 */
export async function readScheduleRecord(
  store: Store,
  plan: string,
  namespace: string,
  options: Cancellable = {},
): Promise<ScheduleRecord | undefined> {
  const key = keyOf(plan, namespace);
  const record = await getSealedIfThere(store, key, recordSchema, options);
  if (record === undefined || record.adopted) return record;
  const trusted = await getTrustedIfThere(store, key, recordSchema, options);
  return trusted ?? { ...record, adopted: true };
}

/** Writes a record, and replaces an earlier one. Throws in a signed repository as `Signing.sign`. */
export function writeScheduleRecord(
  store: Store,
  record: ScheduleRecord,
  options: Cancellable = {},
): Promise<void> {
  return replaceSigned(store, keyOf(record.plan, record.namespace), record, options);
}

/** The databases and keyspaces for which the plan has, or may have, snapshot schedules of its own. */
export async function scheduledNamespaces(
  store: Store,
  plan: string,
  options: Cancellable = {},
): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { key } of store.list(inClusterFolder(plan), options)) {
    const record = await getSealedIfThere(store, key, recordSchema, options);
    if (record !== undefined) names.push(record.namespace);
  }
  return names.sort();
}

/** Deletes a record, if it exists. */
export async function deleteScheduleRecord(
  store: Store,
  plan: string,
  namespace: string,
  options: Cancellable = {},
): Promise<void> {
  await store.delete([keyOf(plan, namespace)], options);
}

/** The key contains a hash, since a namespace's name may have any character. */
function keyOf(plan: string, namespace: string): string {
  return inClusterKey(plan, sha256Hex(Buffer.from(namespace)).slice(0, 16));
}
