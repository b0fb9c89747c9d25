import { dataObjectName, type LeftOut } from '../../../model/backup.ts';
import { appliedUnits, loadedObjects, withRestoreSession } from './bookkeeping.ts';
import { isRefusal } from './forgiving.ts';
import { type DatabaseJob, type RestoreJob, selectedObjects } from './job.ts';
import { noteLeftOut, readLeftOut } from './left-out.ts';
import { postDataWaves } from './post-data-order.ts';

/* What the end of a restore reads from the bookkeeping: what is missing, and why. */

/** Lists what was left out. With several databases each name begins with its database. */
export async function leftOutOf(
  job: RestoreJob,
  databases: readonly DatabaseJob[] = job.databases,
): Promise<readonly LeftOut[]> {
  const all: LeftOut[] = [];
  for (const database of databases) {
    const items = await withRestoreSession(job, database, readLeftOut);
    const prefix = job.databases.length === 1 ? '' : `${database.names.from}: `;
    all.push(...items.map((item) => ({ ...item, name: `${prefix}${item.name}` })));
  }
  return all;
}

/** Counts the rows and bytes that were actually loaded, for a restore in which some may be missing. */
export async function loadedOf(job: RestoreJob): Promise<{ readonly rows: number; readonly bytes: number }> {
  const loaded = new Set<string>();
  for (const database of job.databases) {
    for (const name of await withRestoreSession(job, database, loadedObjects)) loaded.add(name);
  }
  const objects = (await selectedObjects(job)).filter((object) => loaded.has(dataObjectName(object)));
  return {
    rows: objects.reduce((sum, { rows }) => sum + rows, 0),
    bytes: objects.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** Reports planned objects that were not applied, even if the rows are equal: a worker of another version may have planned different work. */
export async function unappliedWork(job: RestoreJob, database: DatabaseJob): Promise<readonly string[]> {
  const units = postDataWaves(job).flat(2);
  const wanted = units.filter((unit) => unit.database === database && unit.entries.length > 0);
  const applied = await withRestoreSession(job, database, appliedUnits);
  const open = wanted.filter(({ id }) => !applied.has(id)).flatMap(({ entries }) => entries);
  if (open.length === 0) return [];
  const some = open.slice(0, 5).map(({ type, name }) => `${type} ${name}`);
  const more = open.length > some.length ? ' …' : '';
  return [`${open.length} objects were not created: ${some.join(', ')}${more}`];
}

/** Runs `work`. A tolerant restore records a refusal by the server as left out instead of failing. */
export async function leaveOut(
  job: RestoreJob,
  database: DatabaseJob,
  item: Pick<LeftOut, 'kind' | 'name'> & { readonly sql?: string },
  work: () => Promise<unknown>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (job.context.request.tolerate !== true || !isRefusal(error)) throw error;
    await withRestoreSession(job, database, (session) =>
      noteLeftOut(session, { sql: '', ...item, error: error.message, because: 'error' }),
    );
  }
}
