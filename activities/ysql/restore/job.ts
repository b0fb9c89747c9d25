import type { DataObject } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import type { ManifestDatabase } from '../../../model/manifest.ts';
import { type RestoreContext, sourceOf } from '../../engine.ts';
import { packTasks } from '../../pack-load-tasks.ts';
import type { ConnectionTarget } from '../connection-url.ts';
import { type DumpEntry, dumpEntries } from '../dump-script.ts';
import { isStatisticsData } from '../dump-sections.ts';
import { findScript, readScript, type ScriptName } from '../scripts.ts';
import { resolveTarget } from '../session.ts';
import { type RestoreNames, restoreNames } from './names.ts';
import { selectTables, type TableSelection } from './selection.ts';

/** One database of the backup on its way into the target server. */
export interface DatabaseJob {
  readonly names: RestoreNames;
  readonly manifest: ManifestDatabase;
  readonly database: readonly DumpEntry[];
  readonly preData: readonly DumpEntry[];
  readonly postData: readonly DumpEntry[];
  /** Large objects without their content; empty where the backup holds none. */
  readonly largeObjects: readonly DumpEntry[];
  readonly selection: TableSelection;
}

/** What every part of a restore derives alike, on any worker, from the manifest and the request. */
export interface RestoreJob {
  readonly context: RestoreContext;
  readonly target: ConnectionTarget;
  readonly databases: readonly DatabaseJob[];
  readonly withSchema: boolean;
  readonly withData: boolean;
}

/** Scripts taken apart, by SHA-256: a worker takes part in many steps of one restore. */
const parsedScripts = new Map<string, readonly DumpEntry[]>();
const SCRIPTS_KEPT = 16;

/** Reads what the restore is about. Throws `RESTORE_NO_SUCH_DATABASE` (permanent) when the request names a database the backup lacks. */
export async function restoreJob(context: RestoreContext): Promise<RestoreJob> {
  const { request, manifest } = context;
  const unknown = Object.keys(request.into).filter(
    (name) => !manifest.databases.some((one) => one.name === name),
  );
  if (unknown.length > 0) {
    throw permanent(
      'RESTORE_NO_SUCH_DATABASE',
      `The backup holds no database ${unknown.join(', ')}; it holds ${manifest.databases.map(({ name }) => name).join(', ')}`,
      'Correct the names to restore.',
    );
  }
  const target = await resolveTarget(
    context,
    request.connection ?? sourceOf(request.source, 'ysql').connection,
  );
  const databases: DatabaseJob[] = [];
  for (const database of manifest.databases) databases.push(await databaseJob(context, database));
  return {
    context,
    target,
    databases,
    withSchema: request.contents !== 'data' && manifest.contents !== 'data',
    withData: request.contents !== 'schema' && manifest.contents !== 'schema',
  };
}

async function databaseJob(context: RestoreContext, database: ManifestDatabase): Promise<DatabaseJob> {
  const entries = (name: ScriptName) => scriptEntries(context, database, name);
  const preData = await entries('pre-data');
  return {
    names: restoreNames(database.name, context.request),
    manifest: database,
    database: await entries('database'),
    preData,
    postData: await entries('post-data'),
    largeObjects: await entries('large-objects'),
    selection: selectTables(preData, database.tables, context.request.tables),
  };
}

async function scriptEntries(
  context: RestoreContext,
  database: ManifestDatabase,
  name: ScriptName,
): Promise<readonly DumpEntry[]> {
  const object = findScript(database.schemaObjects, name);
  if (object === undefined) return [];
  const known = parsedScripts.get(object.sha256);
  if (known !== undefined) return known;
  // Statistics of the planner are made anew by ANALYZE, and servers older than the program have no function for them.
  const entries = dumpEntries(await readScript(context, object)).filter((entry) => !isStatisticsData(entry));
  const [oldest] = parsedScripts.keys();
  if (oldest !== undefined && parsedScripts.size >= SCRIPTS_KEPT) parsedScripts.delete(oldest);
  parsedScripts.set(object.sha256, entries);
  return entries;
}

/** The data objects that the request selects, in the manifest's order. */
export async function selectedObjects(job: RestoreJob): Promise<readonly DataObject[]> {
  if (!job.withData) return [];
  const selections = new Map(job.databases.map(({ manifest, selection }) => [manifest.name, selection]));
  const objects = await job.context.dataObjects();
  return objects.filter(({ table }) => selections.get(table.database)?.includes(table) === true);
}

/** Load tasks in their order; the same on every worker. */
export async function loadTasks(job: RestoreJob): Promise<readonly (readonly DataObject[])[]> {
  return packTasks(await selectedObjects(job));
}

/** The job of the database that an object belongs to. */
export function databaseOf(job: RestoreJob, name: string): DatabaseJob {
  const database = job.databases.find(({ manifest }) => manifest.name === name);
  if (database !== undefined) return database;
  throw permanent(
    'BACKUP_INCONSISTENT',
    `The backup has data of database "${name}", which its manifest doesn't list`,
    'The manifest is damaged: restore another backup.',
  );
}
