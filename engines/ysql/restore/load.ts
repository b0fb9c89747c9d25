import { type DataObject, dataObjectName } from '../../../model/backup.ts';
import { type HoldfastError, permanent } from '../../../model/errors.ts';
import type { RestoreContext } from '../../engine.ts';
import { partsOf } from '../../tell-parts.ts';
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
 * Small objects share a transaction, because a transaction for each would cost more than its rows. An interrupted transaction loses all
 * its rows, and it locks each of its tables with their indexes, so both limits bound it.
 */
const TRANSACTION_BYTES = 4 * 1024 * 1024;
const TRANSACTION_OBJECTS = 16;
/** Limit for objects in memory at once, stored bytes. */
const FETCHED_BYTES = 4 * 1024 * 1024;

/**
 * Loads the objects of one task in transactions that also record them as loaded; small objects share a transaction. Throws
 * `RESTORE_NO_SUCH_TASK` (permanent).
 */
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
  const moved = partsOf(context, 'LoadPart');
  for await (const fetched of fetchGroupsAhead(context, fetchedTogether(objects))) {
    let at = 0;
    for (const { length } of transactionsOf(fetched.map(({ object }) => object))) {
      for (const { object } of await loadGroup(job, fetched.slice(at, at + length))) {
        rows += object.rows;
        bytes += object.bytes;
        moved(object);
      }
      at += length;
      context.heartbeat({ task, rows, bytes });
    }
  }
  return { rows, bytes };
}

/** Groups the objects that are fetched and held in memory together, so that the pieces of a pack need few requests. Pure. */
function fetchedTogether(objects: readonly DataObject[]): readonly (readonly DataObject[])[] {
  return inGroups(objects, {
    maxItems: Number.POSITIVE_INFINITY,
    maxWeight: FETCHED_BYTES,
    weightOf: ({ sizeBytes }) => sizeBytes,
  });
}

/** Groups the objects by transaction, in order. Pure. */
export function transactionsOf(objects: readonly DataObject[]): readonly (readonly DataObject[])[] {
  return inGroups(objects, {
    maxItems: TRANSACTION_OBJECTS,
    maxWeight: TRANSACTION_BYTES,
    weightOf: ({ bytes }) => bytes,
  });
}

/** Loads objects in one transaction. Returns those that were loaded; in a tolerant restore the server may have refused some. */
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

/** Returns the object as it is loaded: rows of some partitions go through a partitioned table, which assigns them to partitions again. */
function routed({ routes }: DatabaseJob, object: DataObject): DataObject {
  const route = routes.get(tableName(object.table));
  return route === undefined ? object : { ...object, table: { ...object.table, ...route } };
}

/** Loads each object separately, so that one whose rows are refused costs no other object. */
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
