import type { DataObject, ExportSummary, LogicalReadPoint, ObjectEntry, ReadPoint } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import { permanent, READ_POINT_LOST } from '../model/errors.ts';
import type { Manifest } from '../model/manifest.ts';
import type { LogicalSource } from '../model/pipeline.ts';
import { formatVersionOf } from '../repository/backups/manifest.ts';
import { DataTally } from '../repository/backups/tally.ts';
import {
  findWorkList,
  readTaskResults,
  readWorkList,
  type WorkList,
  writeWorkList,
} from '../repository/backups/work.ts';
import { type ManifestDraft, writeManifest } from '../repository/backups/write-manifest.ts';
import { isShared } from '../repository/layout.ts';
import type { BackupContext, OpenReadPoint, RowEngine, SealingParts, VerbContext } from './engine.ts';
import { packTasks } from './pack-tasks.ts';

/** Where rows are shared, a plan may ask for small chunks. Several of them make a task then, so that it is no smaller than elsewhere. */
const SHARED_TASK_BYTES = 64 * 1024 * 1024;

/** What each row engine implements itself. The rest of `RowEngine` is the same for all of them, and is in this file. */
interface RowEngineParts<S extends LogicalSource>
  extends Omit<RowEngine<S>, 'kind' | 'openReadPoint' | 'listWork' | 'collect' | 'discard'> {
  /** As `Engine.openReadPoint`, at the epoch of this attempt. */
  openReadPoint(verb: VerbContext, source: S, epoch: number): Promise<OpenReadPoint>;
}

/** Builds a row engine from its parts. */
export function rowEngine<S extends LogicalSource>(parts: RowEngineParts<S>): RowEngine<S> {
  return {
    ...parts,
    kind: 'rows',
    // A session or an instant that an attempt pinned is lost with it, so each attempt opens an epoch of its own.
    openReadPoint: (verb, source, firstEpoch) =>
      parts.openReadPoint(verb, source, firstEpoch + verb.attempt - 1),
    listWork: (context, source, readPoint) => listWork(parts, context, source, rowsAt(readPoint)),
    collect: (context, source, readPoint) => collect(parts, context, source, rowsAt(readPoint)),
    discard: async (context) => ({ stands: await parts.restore.discard(context) }),
  };
}

async function listWork<S extends LogicalSource>(
  engine: RowEngineParts<S>,
  context: BackupContext,
  source: S,
  readPoint: LogicalReadPoint,
): Promise<ExportSummary> {
  const { store, ref, signal } = context;
  const known = await findWorkList(store, ref, readPoint.epoch, { signal });
  if (known !== undefined) return describe(known);
  const exported = await engine.export(context, source, readPoint);
  const shares = engine.sharesRows === true && ref.repository.shareRows === true;
  const taskBytes = shares ? Math.max(source.chunkBytes, SHARED_TASK_BYTES) : source.chunkBytes;
  const tasks = packTasks(exported.chunks, taskBytes);
  return describe(await writeWorkList(store, ref, readPoint.epoch, exported, tasks, { signal }));
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

async function collect<S extends LogicalSource>(
  engine: RowEngineParts<S>,
  context: BackupContext,
  source: S,
  readPoint: LogicalReadPoint,
): Promise<SealingParts> {
  const { store, ref, signal } = context;
  const workList = await readWorkList(store, ref, readPoint.epoch, { signal });
  const [rest, { objects: dataObjects, packs, newBytes }] = await Promise.all([
    engine.seal(context, source, readPoint, { ...workList, chunks: [] }),
    uploadedObjects(context, workList),
  ]);
  const { server, databases, commonObjects } = rest;
  const { contents } = source;
  return {
    description: {
      server,
      contents,
      databases,
      commonObjects,
      ...(packs.length === 0 ? {} : { packs }),
      ...defined({ newBytes }),
      ...scannedBy(dataObjects),
    },
    kit: (draft) => engine.restoreKit(countedManifest(draft, dataObjects), dataObjects),
    writeManifest: (draft) => writeManifest(store, draft, dataObjects, { signal }),
  };
}

/** What the tasks uploaded, in the order of the tasks. */
async function uploadedObjects(
  { store, ref, signal }: BackupContext,
  workList: WorkList,
): Promise<{
  readonly objects: readonly DataObject[];
  readonly packs: readonly ObjectEntry[];
  readonly newBytes: number | undefined;
}> {
  const objects: DataObject[] = [];
  /** By key: several tasks may have pieces in one shared pack. */
  const packs = new Map<string, ObjectEntry>();
  let newBytes: number | undefined;
  for await (const result of readTaskResults(store, ref, workList, { signal })) {
    objects.push(...result.objects);
    for (const pack of result.packs ?? []) packs.set(pack.key, pack);
    if (result.newBytes !== undefined) newBytes = (newBytes ?? 0) + result.newBytes;
  }
  return { objects, packs: [...packs.values()], newBytes };
}

/** When the first and the last row were read; nothing if all were read at one instant. */
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

/** The manifest without the kit, which is made from it. */
function countedManifest(draft: ManifestDraft, dataObjects: readonly DataObject[]): Manifest {
  const tally = new DataTally();
  for (const object of dataObjects) tally.add(object);
  const databases = tally.countedDatabases(draft.databases);
  return {
    ...draft,
    formatVersion: formatVersionOf(
      draft,
      dataObjects.some(({ key }) => isShared(key)),
    ),
    databases,
    totals: tally.totals(databases, draft.commonObjects),
    data: { inline: dataObjects },
  };
}

/** A read point that sessions can read rows at. Throws `READ_POINT_LOST` (permanent) for a distributed snapshot. */
export function rowsAt(readPoint: ReadPoint): LogicalReadPoint {
  if (readPoint.kind !== 'universe-snapshot') return readPoint;
  throw permanent(
    READ_POINT_LOST,
    'The read point is a distributed snapshot, which a logical engine can not read',
    'A new read point is opened.',
  );
}
