import { z } from 'zod';
import type { ObjectEntry } from '../../model/backup.ts';
import { permanent } from '../../model/errors.ts';
import type { ManifestUniverse } from '../../model/manifest.ts';
import {
  packBatch,
  type ServersByAddress,
  TABLETS_PER_BATCH,
  type TabletBatch,
  type TabletTarget,
} from '../../model/tablets.ts';
import type { ExportDescription } from '../backups/work.ts';
import { type BackupId, backupFolder, workFolder } from '../layout.ts';
import { databaseSchema, objectEntrySchema, serverSchema, universeSchema } from '../schema.ts';
import { sha256Hex } from '../sha256.ts';
import { getSignedIfThere, putSigned } from '../signing/signed-object.ts';
import type { Cancellable, Store } from '../store.ts';
import { packJson, unpackJson } from './packed-json.ts';

/** All that one epoch has to save of a universe. Written once, by the first export that ends. */
export interface TabletWorkList extends ExportDescription {
  readonly epoch: number;
  readonly tablets: number;
  readonly estimatedBytes: number;
  /** How many tablet servers the tablets come from. */
  readonly nodes: number;
  /** The batches of tablets. Each holds up to `TABLETS_PER_BATCH`. The stored format keeps this older name. */
  readonly shards: readonly ObjectEntry[];
  readonly universe: ManifestUniverse;
}

const count = z.int().nonnegative();

const workListSchema: z.ZodType<TabletWorkList> = z.object({
  epoch: count,
  tablets: count,
  estimatedBytes: z.number().nonnegative(),
  nodes: count,
  shards: z.array(objectEntrySchema),
  universe: universeSchema,
  server: serverSchema,
  databases: z.array(databaseSchema),
  commonObjects: z.array(objectEntrySchema),
});

const batchSchema: z.ZodType<TabletBatch> = z.object({
  nodes: z.array(z.string()),
  servers: z.array(z.string()).exactOptional(),
  tables: z.array(z.object({ table: z.string(), snapshot: z.string() })),
  tablets: z.array(
    z.object({ id: z.string(), table: count, nodes: z.array(count), bytes: z.number().nonnegative() }),
  ),
});

function listKey(ref: BackupId, epoch: number): string {
  return `${backupFolder(ref)}${workFolder(epoch)}tablet-list.json`;
}

/** The work list of an epoch. Undefined where no export of it has ended. */
export function findTabletWorkList(
  store: Store,
  ref: BackupId,
  epoch: number,
  options: Cancellable = {},
): Promise<TabletWorkList | undefined> {
  return getSignedIfThere(store, listKey(ref, epoch), workListSchema, options);
}

/** Throws `WORK_LIST_MISSING` (permanent). */
export async function readTabletWorkList(
  store: Store,
  ref: BackupId,
  epoch: number,
  options: Cancellable = {},
): Promise<TabletWorkList> {
  const found = await findTabletWorkList(store, ref, epoch, options);
  if (found !== undefined) return found;
  throw permanent(
    'WORK_LIST_MISSING',
    `The list of tablets of the backup ${ref.backup} of plan ${ref.plan} is not in ${store.description}.`,
    'Find out what deletes objects under this prefix, and run the backup again.',
  );
}

/** Writes an epoch's tablets, batch by batch, and last the list of the batches. If an earlier attempt has written a list, returns that one. */
export async function writeTabletWorkList(
  store: Store,
  ref: BackupId,
  epoch: number,
  description: ExportDescription & { readonly universe: ManifestUniverse },
  targets: readonly TabletTarget[],
  options: Cancellable & { readonly servers?: ServersByAddress } = {},
): Promise<TabletWorkList> {
  const batches: ObjectEntry[] = [];
  for (let start = 0; start < targets.length; start += TABLETS_PER_BATCH) {
    const body = await packJson(packBatch(targets.slice(start, start + TABLETS_PER_BATCH), options.servers));
    const sha256 = sha256Hex(body);
    const key = `${workFolder(epoch)}tablet-shard-${batches.length.toString().padStart(5, '0')}-${sha256.slice(0, 16)}.json.zst`;
    await store.put(backupFolder(ref) + key, body, { sha256, ifAbsent: true, ...options });
    batches.push({ key, sizeBytes: body.byteLength, sha256 });
  }
  const workList: TabletWorkList = {
    epoch,
    tablets: targets.length,
    estimatedBytes: targets.reduce((sum, { estimatedBytes }) => sum + estimatedBytes, 0),
    nodes: new Set(targets.flatMap(({ nodes }) => nodes.slice(0, 1))).size,
    shards: batches,
    universe: description.universe,
    server: description.server,
    databases: description.databases,
    commonObjects: description.commonObjects,
  };
  const outcome = await putSigned(store, listKey(ref, epoch), workList, options);
  return outcome === 'created' ? workList : readTabletWorkList(store, ref, epoch, options);
}

/** The tablets of one batch. Throws `STORE_NOT_FOUND`, `STORE_DAMAGED` (permanent). */
export async function readTabletBatch(
  store: Store,
  ref: BackupId,
  entry: ObjectEntry,
  options: Cancellable = {},
): Promise<TabletBatch> {
  const key = backupFolder(ref) + entry.key;
  return unpackJson(await store.get(key, { expect: entry, ...options }), batchSchema, key, store.description);
}
