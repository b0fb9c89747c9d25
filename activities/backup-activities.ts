import { hostname } from 'node:os';
import { metricMeter } from '@temporalio/activity';
import type { BackupContext, Engine } from '../engines/engine.ts';
import { leftToPrune } from '../engines/left-to-prune.ts';
import { packTasks } from '../engines/pack-tasks.ts';
import { engineOf, logical } from '../engines/registry.ts';
import { exportUniverse } from '../engines/universe/export.ts';
import { sealUniverse } from '../engines/universe/seal.ts';
import type {
  BackupRef,
  BackupSummary,
  DataObject,
  ExportSummary,
  LogicalReadPoint,
  ObjectEntry,
  ReadPoint,
  TaskResult,
  TaskSummary,
} from '../model/backup.ts';
import { permanent, READ_POINT_LOST } from '../model/errors.ts';
import { lossesIn, type Manifest, unreadIn } from '../model/manifest.ts';
import packageJson from '../package.json' with { type: 'json' };
import { mapBounded } from '../repository/bounded.ts';
import { findManifest, MANIFEST_FORMAT_VERSION, type StoredManifest } from '../repository/manifest.ts';
import { sha256Hex } from '../repository/sha256.ts';
import { discardBackup, sweepBackup } from '../repository/sweep.ts';
import { DataTally } from '../repository/tally.ts';
import {
  findTaskResult,
  findWorkList,
  readTaskResults,
  readWorkList,
  type WorkList,
  writeTaskResult,
  writeWorkList,
} from '../repository/work.ts';
import { type ManifestDraft, writeManifest } from '../repository/write-manifest.ts';
import { inBackup as inBackupOf } from './backup-context.ts';
import type { Activities, SealInput } from './contract.ts';
import type { Repositories } from './repositories.ts';
import { describeTabletWork } from './universe-activities.ts';

/** From a read point to a sealed backup: export, upload, seal, and the clean-up of an unfinished one. */
export function captureActivities(
  repositories: Repositories,
): Pick<Activities, 'export' | 'upload' | 'seal' | 'cleanUp'> {
  const inBackup = <T>(ref: BackupRef, body: (context: BackupContext) => Promise<T>): Promise<T> =>
    inBackupOf(repositories, ref, body);

  return {
    export: ({ ref, source: any, readPoint }) =>
      inBackup(ref, async (context) => {
        if (any.engine === 'universe') {
          return describeTabletWork(await exportUniverse(context, any, snapshotsOf(readPoint)));
        }
        const source = logical(any);
        const { store, signal } = context;
        const known = await findWorkList(store, ref, readPoint.epoch, { signal });
        if (known !== undefined) return describe(known);
        const exported = await engineOf(source).export(context, source, rowsAt(readPoint));
        const tasks = packTasks(exported.chunks, source.chunkBytes);
        return describe(await writeWorkList(store, ref, readPoint.epoch, exported, tasks, { signal }));
      }),

    upload: ({ ref, source, readPoint, shard, task: position, zstdLevel }) =>
      inBackup(ref, async (context) => {
        const { store, signal } = context;
        const { epoch } = readPoint;
        const task = (await repositories.shard(ref, epoch, shard))[position];
        if (task === undefined) throw noSuchTask(shard, position);
        // An earlier attempt may have written the result, and only its answer to Temporal was lost. Then nothing is sent again.
        const known =
          context.attempt > 1 ? await findTaskResult(store, ref, epoch, task.index, { signal }) : undefined;
        if (known !== undefined) return summaryOf(known);
        if (context.attempt > 1) countSentAgain(ref.plan, task.chunks.length);
        const objects: DataObject[] = [];
        for (const chunk of task.chunks) {
          objects.push(
            ...(await engineOf(logical(source)).upload(context, logical(source), rowsAt(readPoint), chunk, {
              zstdLevel,
            })),
          );
        }
        return summaryOf(
          await writeTaskResult(store, ref, epoch, { index: task.index, objects }, { signal }),
        );
      }),

    seal: (input) =>
      inBackup(input.ref, async (context) => {
        if (input.source.engine === 'universe') return sealUniverse(context, input);
        const { ref, readPoint } = input;
        const source = logical(input.source);
        const { store, signal } = context;
        const engine = engineOf(source);
        // An earlier attempt may have written the manifest. Then the backup exists, its work lists may be gone, and nothing is written again.
        const finished = await findManifest(store, ref, { signal });
        if (finished !== undefined) return await sealed(context, finished);
        const workList = await readWorkList(store, ref, readPoint.epoch, { signal });
        const [rest, dataObjects] = await Promise.all([
          engine.seal(context, source, rowsAt(readPoint), { ...workList, chunks: [] }),
          uploadedObjects(context, workList),
        ]);
        const draft = { ...draftOf(input, rest), ...scannedBy(dataObjects) };
        const kit = await writeRestoreKit(context, engine, draft, dataObjects);
        const commonObjects = [...draft.commonObjects, ...kit];
        const written = await writeManifest(store, { ...draft, commonObjects }, dataObjects, { signal });
        return await sealed(context, written);
      }),

    cleanUp: ({ ref }) =>
      inBackup(ref, async (context) => {
        const { store, signal, heartbeat } = context;
        const reason = 'its run ended before it was finished';
        const swept = await leftToPrune(context, () =>
          discardBackup(store, ref, reason, { signal, heartbeat }),
        );
        return { removedObjects: swept?.deletedObjects ?? 0 };
      }),
  };
}

/** Counts the chunks of a task that was begun before, by a worker that died or that met a failure of a store or a database. */
function countSentAgain(plan: string, chunks: number): void {
  metricMeter
    .createCounter('holdfast_chunks_sent_again', undefined, 'chunks of table data that were begun once more')
    .add(chunks, { plan });
}

/** Ends the seal: the backup exists, so objects that its manifest doesn't name are deleted. */
async function sealed(context: BackupContext, { manifest, sha256 }: StoredManifest): Promise<BackupSummary> {
  const { store, ref, signal, heartbeat } = context;
  await leftToPrune(context, () => sweepBackup(store, ref, { signal, heartbeat }));
  const { plan, backup } = ref;
  const losses = lossesIn(manifest).slice(0, LOSSES_TOLD);
  const unread = unreadIn(manifest).slice(0, LOSSES_TOLD);
  const told = {
    ...(losses.length === 0 ? {} : { losses }),
    ...(unread.length === 0 ? {} : { unread }),
  };
  return { plan, backup, ...manifest.totals, manifestSha256: sha256, ...told };
}

/** Most losses in a workflow's history. The manifest has all of them. */
const LOSSES_TOLD = 20;

/** What all tasks have uploaded, in their order. */
async function uploadedObjects(
  { store, ref, signal }: BackupContext,
  workList: WorkList,
): Promise<readonly DataObject[]> {
  const objects: DataObject[] = [];
  for await (const result of readTaskResults(store, ref, workList, { signal }))
    objects.push(...result.objects);
  return objects;
}

/** When the first and the last row were read, for a backup that is not of one instant. */
function scannedBy(objects: readonly DataObject[]): Pick<Manifest, 'scanned'> {
  const intervals = objects.flatMap(({ readAt }) => (readAt === undefined ? [] : [readAt]));
  const [first] = intervals;
  if (first === undefined) return {};
  let { from, to } = first;
  for (const interval of intervals) {
    if (interval.from < from) from = interval.from;
    if (interval.to > to) to = interval.to;
  }
  return { scanned: { from, to } };
}

function describe(workList: WorkList): ExportSummary {
  return {
    epoch: workList.epoch,
    shards: workList.shards.length,
    tasks: workList.tasks,
    tables: workList.databases.reduce((sum, database) => sum + database.tables.length, 0),
    databases: workList.databases.map(({ name }) => name),
    estimatedBytes: workList.estimatedBytes,
  };
}

function summaryOf({ index, objects }: TaskResult): TaskSummary {
  const sum = (of: (object: DataObject) => number) =>
    objects.reduce((total, object) => total + of(object), 0);
  return {
    index,
    rows: sum((object) => object.rows),
    bytes: sum((object) => object.bytes),
    storedBytes: sum((object) => object.sizeBytes),
    objects: objects.length,
  };
}

function draftOf(
  input: SealInput,
  sealed: Pick<Manifest, 'server' | 'databases' | 'commonObjects'>,
): ManifestDraft {
  const { ref, readPoint, source, pipelineHash, startedAt } = input;
  return {
    plan: ref.plan,
    backup: ref.backup,
    engine: source.engine,
    pipelineHash,
    writtenBy: { holdfast: packageJson.version, host: hostname() },
    startedAt,
    completedAt: new Date().toISOString(),
    server: sealed.server,
    readPoint,
    contents: logical(source).contents,
    databases: sealed.databases,
    commonObjects: sealed.commonObjects,
  };
}

const KIT_FILES_AT_ONCE = 8;

/** Writes what a restore without Holdfast needs. It may replace the files of an earlier attempt, since no manifest names them yet. */
async function writeRestoreKit(
  context: BackupContext,
  engine: Engine,
  draft: ManifestDraft,
  dataObjects: readonly DataObject[],
): Promise<readonly ObjectEntry[]> {
  const tally = new DataTally();
  for (const object of dataObjects) tally.add(object);
  const databases = tally.countedDatabases(draft.databases);
  const manifest: Manifest = {
    ...draft,
    formatVersion: MANIFEST_FORMAT_VERSION,
    databases,
    totals: tally.totals(databases, draft.commonObjects),
    data: { inline: dataObjects },
  };
  const { store, folder, signal } = context;
  return await Array.fromAsync(
    mapBounded(engine.restoreKit(manifest, dataObjects), KIT_FILES_AT_ONCE, async ({ key, text }) => {
      const body = Buffer.from(text);
      const sha256 = sha256Hex(body);
      await store.put(folder + key, body, { sha256, ifAbsent: false, signal });
      return { key, sizeBytes: body.length, sha256 };
    }),
  );
}

/** The read point, if sessions can read rows at it. A distributed snapshot is refused. */
function rowsAt(readPoint: ReadPoint): LogicalReadPoint {
  if (readPoint.kind !== 'universe-snapshot') return readPoint;
  throw permanent(
    READ_POINT_LOST,
    'The read point is a distributed snapshot, which a logical engine can not read',
    'A new read point is opened.',
  );
}

function snapshotsOf(readPoint: ReadPoint): Extract<ReadPoint, { readonly kind: 'universe-snapshot' }> {
  if (readPoint.kind === 'universe-snapshot') return readPoint;
  throw permanent(
    READ_POINT_LOST,
    'The read point is not a distributed snapshot',
    'Nothing: Holdfast takes a new one.',
  );
}

function noSuchTask(shard: number, position: number) {
  return permanent(
    'WORK_LIST_DAMAGED',
    `the work list’s shard ${shard} has no task ${position}`,
    'Start the backup again; if it happens twice, check who else writes into the repository.',
  );
}
