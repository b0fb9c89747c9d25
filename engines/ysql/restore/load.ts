import { type DataObject, dataObjectName } from '../../../model/backup.ts';
import { type HoldfastError, permanent } from '../../../model/errors.ts';
import type { RestoreContext } from '../../engine.ts';
import { fetchGroupsAhead } from '../../threads/fetch-ahead.ts';
import { copyFromStatement } from '../copy-statements.ts';
import { tableName } from '../server/identifiers.ts';
import { threads } from '../thread-pool.ts';
import type { LoadedObject } from '../threads/jobs.ts';
import { underRestore, withRestoreSession } from './bookkeeping.ts';
import { isRefusal, reasonIn, TOLERATE_HINT } from './forgiving.ts';
import { inGroups } from './in-groups.ts';
import { type DatabaseJob, databaseOf, loadOrder, type RestoreJob, restoreJob } from './job.ts';
import { noteLeftOut } from './left-out.ts';

/*
 * Small objects share a transaction, since each by itself would cost more than its rows. What a transaction holds is lost with it when it
 * is cut off, and each table is locked in it with its indexes, so both are bounded.
 */
const TRANSACTION_BYTES = 4 * 1024 * 1024;
const TRANSACTION_OBJECTS = 16;
/** As stored. */
const FETCHED_BYTES = 4 * 1024 * 1024;

/** Loads the objects of one task, small ones together, in transactions that also note them as loaded. */
export async function load(
  context: RestoreContext,
  task: number,
): Promise<{ readonly rows: number; readonly bytes: number }> {
  const job = await restoreJob(context);
  const objects = (await loadOrder(job)).tasks[task];
  if (objects === undefined) {
    throw permanent(
      'RESTORE_NO_SUCH_TASK',
      `The restore has no load task ${task}`,
      'Start the restore again.',
    );
  }
  let rows = 0;
  let bytes = 0;
  for await (const fetched of fetchGroupsAhead(context, fetchedTogether(objects))) {
    let at = 0;
    for (const { length } of transactionsOf(fetched.map(({ object }) => object))) {
      for (const { object } of await loadGroup(job, fetched.slice(at, at + length))) {
        rows += object.rows;
        bytes += object.bytes;
      }
      at += length;
      context.heartbeat({ task, rows, bytes });
    }
  }
  return { rows, bytes };
}

/** The objects that are held in memory together: pieces of a pack are then few requests. Pure. */
function fetchedTogether(objects: readonly DataObject[]): readonly (readonly DataObject[])[] {
  return inGroups(objects, {
    maxItems: Number.POSITIVE_INFINITY,
    maxWeight: FETCHED_BYTES,
    weightOf: ({ sizeBytes }) => sizeBytes,
  });
}

/** The objects that are loaded in one transaction, for each transaction, in order. Pure. */
export function transactionsOf(objects: readonly DataObject[]): readonly (readonly DataObject[])[] {
  return inGroups(objects, {
    maxItems: TRANSACTION_OBJECTS,
    maxWeight: TRANSACTION_BYTES,
    weightOf: ({ bytes }) => bytes,
  });
}

/** Returns those whose rows came in, which may be fewer where a restore tolerates what the server refuses. */
async function loadGroup(job: RestoreJob, group: readonly LoadedObject[]): Promise<readonly LoadedObject[]> {
  const [first] = group;
  if (first === undefined) return [];
  const database = databaseOf(job, first.object.table.database);
  const { target, names, restore, signal } = underRestore(job, database);
  const { encoding } = database.manifest;
  try {
    const objects = group.map(({ object, body }) => ({ object: routed(database, object), body }));
    const intoExisting = job.context.request.contents === 'data';
    await threads.run({ kind: 'load', target, names, restore, objects, encoding, intoExisting }, { signal });
    return group;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    if (job.context.request.tolerate !== true) throw withHint(error);
    if (group.length > 1) return await loadOneByOne(job, group);
    const { object } = first;
    await withRestoreSession(job, database, (session) =>
      noteLeftOut(session, {
        kind: 'TABLE DATA',
        name: tableName(object.table),
        because: 'error',
        error: reasonIn(
          error,
          `load ${dataObjectName(object)} into ${tableName(routed(database, object).table)}`,
        ),
        sql: copyFromStatement(routed(database, object), encoding),
      }),
    );
    return [];
  }
}

/** The object as it is loaded: rows of some partitions go through a partitioned table, which finds their place anew. */
function routed({ routes }: DatabaseJob, object: DataObject): DataObject {
  const route = routes.get(tableName(object.table));
  return route === undefined ? object : { ...object, table: { ...object.table, ...route } };
}

/** An object whose rows are refused must cost no other object. */
async function loadOneByOne(
  job: RestoreJob,
  group: readonly LoadedObject[],
): Promise<readonly LoadedObject[]> {
  const loaded: LoadedObject[] = [];
  for (const one of group) loaded.push(...(await loadGroup(job, [one])));
  return loaded;
}

function withHint(error: HoldfastError): HoldfastError {
  return permanent(error.code, error.message, `${error.remedy} ${TOLERATE_HINT}`, error.cause);
}
