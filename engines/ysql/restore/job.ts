import type { DataObject } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import type { ManifestDatabase } from '../../../model/manifest.ts';
import { BoundedCache } from '../../../repository/bounded-cache.ts';
import { type RestoreContext, sourceOf } from '../../engine.ts';
import { packLoadTasks } from '../../pack-load-tasks.ts';
import { unstopped } from '../../quiet-verb.ts';
import { neverRestored } from '../dump-sections.ts';
import { BOOKKEEPING_SCHEMA } from '../server/bookkeeping-schema.ts';
import type { ConnectionTarget } from '../server/connection-url.ts';
import { type DumpEntry, dumpEntries } from '../server/dump-script.ts';
import { tableName } from '../server/identifiers.ts';
import { type RestoreNames, restoreNames } from '../server/restore-names.ts';
import { findScript, readScript, type ScriptName } from '../server/scripts.ts';
import { resolveTarget } from '../server/session.ts';
import { type ForeignCalls, foreignCalls } from './calls.ts';
import { separateChecks } from './late-checks.ts';
import { type CallingTables, callingTables } from './late-tables.ts';
import { partitionRoutes } from './partition-routes.ts';
import { type QualifiedName, selectTables, type TableSelection } from './selection.ts';

/** One database of the backup to restore into the target server. */
export interface DatabaseJob {
  readonly names: RestoreNames;
  readonly manifest: ManifestDatabase;
  readonly database: readonly DumpEntry[];
  /** Pre-data without the checks that wait for the rows. */
  readonly preData: readonly DumpEntry[];
  /** Checks taken out of pre-data, in its order: `lateChecks` adds them for new rows, `validations` validates them later. */
  readonly lateChecks: readonly DumpEntry[];
  readonly validations: readonly DumpEntry[];
  readonly postData: readonly DumpEntry[];
  /** Large objects without their content; empty where the backup holds none. */
  readonly largeObjects: readonly DumpEntry[];
  readonly calls: ForeignCalls;
  /** `made`: when the restore creates the tables; `existing`: when they exist already. */
  readonly callingTables: { readonly made: CallingTables; readonly existing: CallingTables };
  /** Tables through which the rows of some partitions are loaded (`partition-routes.ts`), by the partition's `schema.table`. */
  readonly routes: ReadonlyMap<string, QualifiedName>;
  readonly selection: TableSelection;
}

/** Everything that each step of a restore derives from the manifest and the request, identically on any worker. */
export interface RestoreJob {
  readonly context: RestoreContext;
  readonly target: ConnectionTarget;
  readonly databases: readonly DatabaseJob[];
  readonly withSchema: boolean;
  readonly withData: boolean;
}

/** Parsed scripts by SHA-256: a worker runs many steps of one restore. */
const parsedScripts = new BoundedCache<readonly DumpEntry[]>(32 * 1024 * 1024);

/** Reads the job of a restore. Throws `RESTORE_NO_SUCH_DATABASE` (permanent) when the request names a database that the backup lacks. */
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
  const names = restoreNames(
    manifest.databases.map(({ name }) => name),
    request,
  );
  for (const [index, database] of manifest.databases.entries()) {
    const own = names[index];
    if (own !== undefined) databases.push(await databaseJob(context, database, own));
  }
  return {
    context,
    target,
    databases,
    withSchema: request.contents !== 'data' && manifest.contents !== 'data',
    withData: request.contents !== 'schema' && manifest.contents !== 'schema',
  };
}

/** Backups of an older release may hold the bookkeeping of a restore that was interrupted. */
function isOfBookkeeping({ schema }: { readonly schema: string }): boolean {
  return schema === BOOKKEEPING_SCHEMA;
}

async function databaseJob(
  context: RestoreContext,
  found: ManifestDatabase,
  names: RestoreNames,
): Promise<DatabaseJob> {
  const database = { ...found, tables: found.tables.filter((table) => !isOfBookkeeping(table)) };
  const entries = (name: ScriptName) => scriptEntries(context, database, name);
  const dumped = await entries('pre-data');
  const { preData, ...read } = preDataOf(dumped, database, context.request.tolerate === true);
  return {
    names,
    manifest: database,
    database: await entries('database'),
    preData,
    ...read,
    postData: await entries('post-data'),
    largeObjects: await entries('large-objects'),
    selection: selectTables(preData, database.tables, context.request.tables),
  };
}

type ReadPreData = Pick<
  DatabaseJob,
  'preData' | 'lateChecks' | 'validations' | 'calls' | 'callingTables' | 'routes'
>;

/** Results of reading pre-data, kept because every step of a restore needs them. */
const readPreData = {
  some: new WeakMap<readonly DumpEntry[], ReadPreData>(),
  all: new WeakMap<readonly DumpEntry[], ReadPreData>(),
};

/** @param allChecks true: every check waits for the rows, so that a row that violates one costs no other row */
function preDataOf(
  dumped: readonly DumpEntry[],
  { hiddenCalls = [] }: ManifestDatabase,
  allChecks: boolean,
): ReadPreData {
  const read = readPreData[allChecks ? 'all' : 'some'];
  const known = read.get(dumped);
  if (known !== undefined) return known;
  const calls = foreignCalls(dumped, new Set(hiddenCalls));
  const { preData, ...checks } = separateChecks(dumped, allChecks ? () => true : calls.inExpression);
  // The checks that were taken out are not evaluated while rows are loaded.
  const made = callingTables(preData, foreignCalls(preData));
  const found = {
    calls,
    preData,
    ...checks,
    callingTables: { made, existing: callingTables(dumped, calls) },
    routes: partitionRoutes(dumped),
  };
  read.set(dumped, found);
  return found;
}

async function scriptEntries(
  context: RestoreContext,
  database: ManifestDatabase,
  name: ScriptName,
): Promise<readonly DumpEntry[]> {
  const object = findScript(database.schemaObjects, name);
  if (object === undefined) return [];
  // Skips the planner's statistics: ANALYZE gathers them anew, and servers older than the dump program can't load them.
  return parsedScripts.get(object.sha256, async () => {
    const dumped = dumpEntries(await readScript(unstopped(context), object));
    const never = neverRestored(dumped);
    return dumped.filter((entry) => !never(entry));
  });
}

/** The data objects that the request selects, in the manifest's order. */
export async function selectedObjects(job: RestoreJob): Promise<readonly DataObject[]> {
  if (!job.withData) return [];
  const selections = new Map(job.databases.map(({ manifest, selection }) => [manifest.name, selection]));
  const objects = await job.context.dataObjects();
  return objects.filter(
    ({ table }) => !isOfBookkeeping(table) && selections.get(table.database)?.includes(table) === true,
  );
}

/** The tasks of a load and their order. */
interface LoadOrder {
  /** The same on every worker. */
  readonly tasks: readonly (readonly DataObject[])[];
  /** Sizes of groups of tasks. The tasks of a group may run at once; the next group starts after it. */
  readonly groups: readonly number[];
}

/**
 * Returns the tasks of a load. Tables whose rows can't be loaded without calling a function come after all others, one after
 * another in pg_dump's order.
 */
export async function loadOrder(job: RestoreJob): Promise<LoadOrder> {
  const late = new Map(
    job.databases.map(({ manifest, callingTables: { made, existing } }) => [
      manifest.name,
      (job.withSchema ? made : existing).late,
    ]),
  );
  const isLate = ({ table }: DataObject) => late.get(table.database)?.has(tableName(table)) === true;
  const objects = await selectedObjects(job);
  const first = packLoadTasks(objects.filter((object) => !isLate(object)));
  const last = packLoadTasks(
    objects.filter(isLate).toSorted((one, other) => compareNames(placeInDump(one), placeInDump(other))),
  );
  return { tasks: [...first, ...last], groups: [first.length, ...groupsOf(last)] };
}

/** Groups these tasks so that only chunks of one table are loaded at once. */
function groupsOf(tasks: readonly (readonly DataObject[])[]): readonly number[] {
  const groups: number[] = [];
  let table: string | undefined;
  for (const objects of tasks) {
    const names = new Set(objects.map(placeInDump));
    const [only] = names.size === 1 ? names : [];
    const size = groups.at(-1);
    if (only !== undefined && only === table && size !== undefined) groups[groups.length - 1] = size + 1;
    else groups.push(1);
    table = only;
  }
  return groups;
}

/** pg_dump writes rows in the order of schema and table. */
function placeInDump({ table: { database, schema, table } }: DataObject): string {
  return [database, schema, table].join('\0');
}

function compareNames(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}

/** Returns the job of the database that an object belongs to. Throws `BACKUP_INCONSISTENT` (permanent). */
export function databaseOf(job: RestoreJob, name: string): DatabaseJob {
  const database = job.databases.find(({ manifest }) => manifest.name === name);
  if (database !== undefined) return database;
  throw permanent(
    'BACKUP_INCONSISTENT',
    `The backup has data of database "${name}", which its manifest doesn't list`,
    'The manifest is damaged: restore another backup.',
  );
}
