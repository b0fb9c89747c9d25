import { dataObjectName, type LeftOut } from '../../../model/backup.ts';
import { appliedUnits, loadedObjects, withRestoreSession } from './bookkeeping.ts';
import { isRefusal } from './forgiving.ts';
import { type DatabaseJob, type RestoreJob, selectedObjects } from './job.ts';
import { noteLeftOut, readLeftOut } from './left-out.ts';
import { postDataWaves } from './post-data-order.ts';

/* What the end of a restore asks of the record that its parts have kept: what is missing, and why. */

/** What was left out; where there are several databases, each name says which it is of. */
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

/** The rows that were loaded, where something may be missing. */
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

/** A worker of another version may have planned other work. What is not applied is reported, whatever the rows say. */
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

/** Does `work`; where the restore tolerates what the server refuses, that is noted. */
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
