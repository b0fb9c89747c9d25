import { z } from 'zod';
import { type ObjectEntry, TASKS_PER_BATCH, type TaskResult, type TransferTask } from '../../model/backup.ts';
import { permanent } from '../../model/errors.ts';
import type { Manifest, ManifestDatabase } from '../../model/manifest.ts';
import { mapBounded } from '../bounded.ts';
import { type BackupId, backupFolder, batchName, taskResultName, workListName } from '../layout.ts';
import {
  chunkSpecSchema,
  databaseSchema,
  dataObjectSchema,
  objectEntrySchema,
  serverSchema,
} from '../schema.ts';
import { openSealedJson, sealJson } from '../sealed-json.ts';
import { sha256Hex } from '../sha256.ts';
import { getSigned, getSignedIfThere, putSigned } from '../signing/signed-object.ts';
import type { Cancellable, Store } from '../store.ts';
import { notFound } from '../store-errors.ts';

/** The parts of the manifest that are known at the export. */
export interface ExportDescription {
  readonly server: Manifest['server'];
  readonly databases: readonly ManifestDatabase[];
  readonly commonObjects: readonly ObjectEntry[];
}

/** Everything that one epoch has to transfer. Written once, by the first export that ends. */
export interface WorkList extends ExportDescription {
  readonly epoch: number;
  readonly tasks: number;
  readonly estimatedBytes: number;
  /**
   * The batches of tasks. Each holds up to `TASKS_PER_BATCH` tasks, in the order in which they are moved. Stored files, keys and histories have
   * this name; they don't mean a shard of YugabyteDB, which is a tablet.
   */
  readonly shards: readonly ObjectEntry[];
}

const taskSchema: z.ZodType<TransferTask> = z.object({
  index: z.int().nonnegative(),
  chunks: z.array(chunkSpecSchema),
});

const batchSchema: z.ZodType<{ readonly tasks: readonly TransferTask[] }> = z.object({
  tasks: z.array(taskSchema),
});

const resultSchema: z.ZodType<TaskResult> = z.object({
  index: z.int().nonnegative(),
  objects: z.array(dataObjectSchema),
  packs: z.array(objectEntrySchema).exactOptional(),
  newBytes: z.int().nonnegative().exactOptional(),
});

const workListSchema: z.ZodType<WorkList> = z.object({
  epoch: z.int().nonnegative(),
  tasks: z.int().nonnegative(),
  estimatedBytes: z.number().nonnegative(),
  shards: z.array(objectEntrySchema),
  server: serverSchema,
  databases: z.array(databaseSchema),
  commonObjects: z.array(objectEntrySchema),
});

/**
 * Writes the tasks of an epoch, batch by batch, then the work list that names the batches. If an earlier attempt has already written a work list
 * for the epoch, returns that one: two attempts may cut tables differently, and results belong to one of them.
 *
 * @param tasks with the indexes 0 to `tasks.length - 1`, in any order
 */
export async function writeWorkList(
  store: Store,
  ref: BackupId,
  epoch: number,
  description: ExportDescription,
  tasks: readonly TransferTask[],
  options: Cancellable = {},
): Promise<WorkList> {
  const batches: ObjectEntry[] = [];
  for (let start = 0; start < tasks.length; start += TASKS_PER_BATCH) {
    const batch = { tasks: tasks.slice(start, start + TASKS_PER_BATCH) };
    batches.push(await writeBatch(store, ref, epoch, batches.length, batch, options));
  }
  const workList: WorkList = {
    epoch,
    tasks: tasks.length,
    estimatedBytes: tasks.reduce((sum, { chunks }) => sum + estimatedBytes(chunks), 0),
    shards: batches,
    server: description.server,
    databases: description.databases,
    commonObjects: description.commonObjects,
  };
  const outcome = await putSigned(store, backupFolder(ref) + workListName(epoch), workList, options);
  return outcome === 'created' ? workList : readWorkList(store, ref, epoch, options);
}

/** Throws `STORE_NOT_FOUND` or `STORE_DAMAGED` (permanent). */
export async function readWorkList(
  store: Store,
  ref: BackupId,
  epoch: number,
  options: Cancellable = {},
): Promise<WorkList> {
  return getSigned(store, backupFolder(ref) + workListName(epoch), workListSchema, options);
}

/** As `readWorkList`, but undefined where no export of this epoch has ended. */
export async function findWorkList(
  store: Store,
  ref: BackupId,
  epoch: number,
  options: Cancellable = {},
): Promise<WorkList | undefined> {
  return getSignedIfThere(store, backupFolder(ref) + workListName(epoch), workListSchema, options);
}

/** The tasks of one batch. Throws `STORE_NOT_FOUND` or `STORE_DAMAGED` (permanent). */
export async function readBatch(
  store: Store,
  ref: BackupId,
  workList: WorkList,
  batch: number,
  options: Cancellable = {},
): Promise<readonly TransferTask[]> {
  const entry = workList.shards[batch];
  if (entry === undefined) {
    throw permanent(
      'WORK_NO_SHARD',
      `The work list of the backup ${ref.backup} of plan ${ref.plan} has ${workList.shards.length} batches, so there is no batch ${batch}.`,
      'Run the backup again, and report this: it is a mistake in Holdfast.',
    );
  }
  const key = backupFolder(ref) + entry.key;
  const bytes = await store.get(key, { expect: entry, ...options });
  return openSealedJson(bytes, batchSchema, `${key} in ${store.description}`).tasks;
}

/** Records, once, what a task has uploaded. If an earlier attempt has recorded its own result, that one counts and is returned. */
export async function writeTaskResult(
  store: Store,
  ref: BackupId,
  epoch: number,
  result: TaskResult,
  options: Cancellable = {},
): Promise<TaskResult> {
  const key = backupFolder(ref) + taskResultName(epoch, result.index);
  const outcome = await putSigned(store, key, result, options);
  return outcome === 'created' ? result : getSigned(store, key, resultSchema, options);
}

/** Undefined while the task has no result. Throws `STORE_DAMAGED` (permanent). */
export async function findTaskResult(
  store: Store,
  ref: BackupId,
  epoch: number,
  task: number,
  options: Cancellable = {},
): Promise<TaskResult | undefined> {
  return getSignedIfThere(store, backupFolder(ref) + taskResultName(epoch, task), resultSchema, options);
}

/** `work/e<epoch>/results/<task>.json`, within a backup's folder. */
const TASK_RESULT = /^work\/e\d+\/results\/[^/]+$/;

/** Whether a key, relative to its backup's folder, is that of a task's result. */
export function isTaskResult(key: string): boolean {
  return TASK_RESULT.test(key);
}

/** The result under this key. Throws `STORE_NOT_FOUND`, `STORE_DAMAGED` (permanent), and where it must be signed as `getSigned`. */
export function readTaskResult(store: Store, key: string, options: Cancellable = {}): Promise<TaskResult> {
  return getSigned(store, key, resultSchema, options);
}

/** The results of all tasks of an epoch, in the order of the tasks. Reads `concurrency` of them ahead. Throws where one is missing. */
export async function* readTaskResults(
  store: Store,
  ref: BackupId,
  workList: WorkList,
  options: Cancellable & { readonly concurrency?: number } = {},
): AsyncGenerator<TaskResult> {
  const { concurrency = 16, ...cancellable } = options;
  yield* mapBounded(upTo(workList.tasks), concurrency, async (task) => {
    const result = await findTaskResult(store, ref, workList.epoch, task, cancellable);
    if (result !== undefined) return result;
    throw notFound(backupFolder(ref) + taskResultName(workList.epoch, task), store.description);
  });
}

async function writeBatch(
  store: Store,
  ref: BackupId,
  epoch: number,
  index: number,
  batch: { readonly tasks: readonly TransferTask[] },
  options: Cancellable,
): Promise<ObjectEntry> {
  const body = sealJson(batch);
  const sha256 = sha256Hex(body);
  const key = batchName(epoch, index, sha256);
  await store.put(backupFolder(ref) + key, body, { sha256, ifAbsent: true, ...options });
  return { key, sizeBytes: body.byteLength, sha256 };
}

function estimatedBytes(chunks: TransferTask['chunks']): number {
  return chunks.reduce((sum, chunk) => sum + chunk.estimatedBytes, 0);
}

function* upTo(count: number): Generator<number> {
  for (let index = 0; index < count; index++) yield index;
}
