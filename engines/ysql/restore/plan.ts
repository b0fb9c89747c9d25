import type { RestorePlan } from '../../../model/backup.ts';
import { defined } from '../../../model/defined.ts';
import { permanent } from '../../../model/errors.ts';
import { databaseNameProblem } from '../../../model/target-name.ts';
import { refuseMissingContents } from '../../contents-check.ts';
import type { RestoreContext } from '../../engine.ts';
import { refuseUnknownNames } from '../../name-patterns.ts';
import { quoteTable, tableName } from '../server/identifiers.ts';
import { requireReplaceable } from '../server/in-the-way.ts';
import { databaseExists, withMaintenanceSession } from '../server/maintenance.ts';
import { checkNodesAnswer } from '../server/nodes.ts';
import { refuseIfSealed } from '../server/sealed-restore.ts';
import { readServer, type Server } from '../server/server.ts';
import { onlyRow, type Session, withSession } from '../server/session.ts';
import { readState } from './bookkeeping.ts';
import { type DatabaseJob, loadOrder, type RestoreJob, restoreJob, selectedObjects } from './job.ts';
import { lacksError, readLacks } from './lacks.ts';
import { checkLargeObjects, presentLargeObjects } from './large-objects.ts';
import { ownerOfScratch, requireOwners, withOwnerOf } from './owners.ts';
import { postDataWaves } from './post-data-order.ts';
import { checkReplay } from './replay.ts';
import { tableUnits } from './table-units.ts';

/** Checks everything that can be checked before anything is written, and returns what the restore will do. */
export async function planRestore(given: RestoreContext): Promise<RestorePlan> {
  const owner = await ownerOfScratch(given);
  const context = withOwnerOf(given, owner);
  const job = await restoreJob(context);
  await refuseIfSealed(context, job);
  checkRequest(job);
  if (context.request.replay !== undefined) await checkReplay(context);
  const { tolerate = false } = context.request;
  const { product, lacks } = await withMaintenanceSession(job, async (session) => {
    const server = await readServer(session);
    checkVersion(job, server);
    const error = lacksError(await readLacks(job, session));
    if (error !== undefined && !tolerate) throw error;
    if (!tolerate) await requireOwners(job, server, session);
    for (const database of job.databases) {
      await checkTarget(job, database, session);
      await checkLargeObjects(job, database);
    }
    if (job.context.request.replace) await checkNodesAnswer(session, job.target, job.context.signal);
    return { product: server.product, lacks: error === undefined ? [] : [error.message] };
  });
  const objects = await selectedObjects(job);
  const sum = (value: (object: (typeof objects)[number]) => number) =>
    objects.reduce((total, object) => total + value(object), 0);
  const { tasks, groups } = await loadOrder(job);
  const waves = postDataWaves(job);
  return {
    databases: job.databases.map(({ names: { from, to } }) => ({ from, to })),
    tasks: tasks.length,
    ...(lacks.length === 0 ? {} : { lacks }),
    ...defined({ owner }),
    ...(groups.length > 1 ? { loadGroups: groups } : {}),
    rows: sum(({ rows }) => rows),
    bytes: sum(({ bytes }) => bytes),
    storedBytes: sum(({ sizeBytes }) => sizeBytes),
    postDataWaves: waves.map((batches) => batches.length),
    // On YugabyteDB every schema change interrupts the transactions that load rows.
    ...(product === 'postgresql' && tasks.length > 0 ? { tableUnits: tableUnits(waves, tasks) } : {}),
  };
}

function checkRequest({ context: { request, manifest }, databases }: RestoreJob): void {
  const partial = databases.some(({ selection }) => !selection.all) || request.contents !== 'all';
  if (request.replace && partial) {
    throw permanent(
      'RESTORE_REPLACE_PARTIAL',
      'A part of a backup would replace the whole database',
      'Restore the selected tables into a new database, and copy from there; or replace with everything.',
    );
  }
  if (request.contents === 'data' && request.tolerate === true) {
    throw permanent(
      'RESTORE_TOLERATE_DATA',
      'Data alone goes into tables that are there, so there is no object to leave out',
      'Leave out --tolerate, or restore with the schema into a new database.',
    );
  }
  if (request.contents === 'data' && request.replace) {
    throw permanent('RESTORE_REPLACE_PARTIAL', 'Data alone can replace nothing', 'Leave out --replace.');
  }
  refuseMissingContents(request, manifest.contents, 'a database that has the tables');
  refuseUnknownNames(request.tables, new Set(databases.flatMap(({ selection }) => [...selection.names])));
  for (const { names } of databases) {
    const wrong = databaseNameProblem(names.to);
    if (wrong !== undefined) throw permanent('RESTORE_BAD_NAME', wrong.problem, wrong.remedy);
  }
  const twice = databases.map(({ names: { to } }) => to).find((to, at, all) => all.indexOf(to) !== at);
  if (twice !== undefined) {
    throw permanent(
      'RESTORE_BAD_NAME',
      `Two databases of the backup would both be restored as "${twice}"`,
      'Give each a name of its own.',
    );
  }
  for (const database of databases) checkPartitions(database);
  const selected = databases.flatMap(({ manifest: { tables }, selection }) =>
    tables.filter(selection.includes),
  );
  if (selected.length === 0 && databases.some(({ manifest: { tables } }) => tables.length > 0)) {
    throw permanent(
      'RESTORE_NOTHING_SELECTED',
      `No table of the backup matches ${request.tables.include.join(', ') || 'the patterns'}`,
      'Write patterns over schema.table, e.g. public.orders; `holdfast show` lists the tables.',
    );
  }
}

/** Refuses a selection of only some partitions where a row may belong to another partition in the copy, because its hash differs there. */
function checkPartitions({ manifest, selection, routes }: DatabaseJob): void {
  const leaves = manifest.tables.filter((table) => routes.has(tableName(table)));
  const routeOf = (table: (typeof leaves)[number]) => routes.get(tableName(table)) ?? table;
  for (const [route, some] of Map.groupBy(leaves, (table) => tableName(routeOf(table)))) {
    const missing = some.filter((table) => !selection.includes(table)).map(tableName);
    if (missing.length === 0 || missing.length === some.length) continue;
    throw permanent(
      'RESTORE_PARTITIONS_APART',
      `Rows of ${route} may belong into other partitions of the copy, and these are not selected: ${missing.join(', ')}`,
      `Select ${route} with all its partitions, or none of them.`,
    );
  }
}

/** Refuses a target server that is older than the source: it may not understand the schema. */
function checkVersion({ context: { manifest } }: RestoreJob, server: Server): void {
  const sourceMajor = Number(/^\d+/.exec(manifest.server.version)?.[0] ?? 0);
  if (server.major >= sourceMajor) return;
  throw permanent(
    'RESTORE_SERVER_TOO_OLD',
    `The backup is of version ${manifest.server.version}, the target server is ${server.version}`,
    'Restore to a server of the same major version or a newer one.',
  );
}

async function checkTarget(job: RestoreJob, database: DatabaseJob, session: Session): Promise<void> {
  const { names } = database;
  const { request } = job.context;
  const exists = await databaseExists(session, names.to);
  if (!job.withSchema) return await checkExistingTables(job, database, exists);
  if (await databaseExists(session, names.kept)) {
    throw permanent(
      'RESTORE_NAME_TAKEN',
      `Database "${names.kept}" exists already, and the replaced one would get that name`,
      'Start the restore again: it gets another id.',
    );
  }
  if (exists && request.replace) await requireReplaceable(session, names.to);
  if (exists && !request.replace && !request.scratch) {
    await checkEmpty(job, names.to);
  } else {
    await checkMayCreate(database, session);
  }
}

const MAY_CREATE = `SELECT rolsuper OR rolcreatedb AS allowed, rolname AS role FROM pg_catalog.pg_roles WHERE rolname = current_user`;

async function checkMayCreate({ names }: DatabaseJob, session: Session): Promise<void> {
  const { allowed, role } = onlyRow(
    await session.query<{ allowed: boolean; role: string }>('read the privileges of the role', MAY_CREATE),
    'the role of the connection',
  );
  if (allowed) return;
  throw permanent(
    'RESTORE_MAY_NOT_CREATE',
    `Role "${role}" may not create database "${names.to}"`,
    `Run ALTER ROLE ${role} CREATEDB, or create an empty database and restore into it.`,
  );
}

const OBJECTS_NAMED = 5;

/**
 * Refuses an existing target database that holds any object of a user.
 *
 * @param butLargeObjects true: large objects count for nothing, since an interrupted attempt may have made them
 */
export async function checkEmpty(job: RestoreJob, name: string, butLargeObjects = false): Promise<void> {
  await withSession(job.target, name, job.context.signal, async (session) => {
    if ((await readState(session))?.restore === job.context.request.restore) return;
    const found = await session.query<{ name: string }>(
      `look into database "${name}"`,
      `SELECT n.nspname || '.' || o.name AS name FROM (
         SELECT relnamespace AS namespace, relname AS name FROM pg_catalog.pg_class WHERE oid >= 16384
         UNION ALL SELECT pronamespace, proname FROM pg_catalog.pg_proc WHERE oid >= 16384
         -- Types of rows and of arrays came with what is listed already.
         UNION ALL SELECT typnamespace, typname FROM pg_catalog.pg_type t WHERE oid >= 16384 AND typrelid = 0
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_type element WHERE element.typarray = t.oid)) o
       JOIN pg_catalog.pg_namespace n ON n.oid = o.namespace
       WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1 LIMIT ${OBJECTS_NAMED + 1}`,
    );
    const objects = butLargeObjects ? [] : await presentLargeObjects(job, name, OBJECTS_NAMED);
    if (found.length === 0 && objects.length === 0) return;
    const names = [...found.map((row) => row.name), ...objects].slice(0, OBJECTS_NAMED);
    const more = found.length + objects.length > names.length ? ' …' : '';
    throw permanent(
      'RESTORE_TARGET_NOT_EMPTY',
      `Database "${name}" exists and is not empty (${names.join(', ')}${more})`,
      'Restore into a new name with --into, or say --replace: the present database is kept under another name.',
    );
  });
}

/** For data alone, checks that the tables exist and are empty. */
async function checkExistingTables(
  job: RestoreJob,
  { names, manifest, selection }: DatabaseJob,
  exists: boolean,
) {
  if (!exists) {
    throw permanent(
      'RESTORE_NO_TARGET',
      `Database "${names.to}" doesn't exist, and data alone needs its tables`,
      'Restore the schema first, or name the database with --into.',
    );
  }
  await withSession(job.target, names.to, job.context.signal, async (session) => {
    if ((await readState(session))?.restore === job.context.request.restore) return;
    const missing: string[] = [];
    const filled: string[] = [];
    for (const table of manifest.tables.filter(selection.includes)) {
      const [row] = await session.query<{ kind: string }>(
        `look for ${tableName(table)}`,
        'SELECT relkind::text AS kind FROM pg_catalog.pg_class WHERE oid = to_regclass($1)',
        [quoteTable(table)],
      );
      if (row === undefined) {
        missing.push(tableName(table));
        continue;
      }
      const rows = await session.query(
        `look into ${tableName(table)}`,
        // Of a table that is partitioned here, COPY would fill the partitions.
        `SELECT 1 AS found FROM ${row.kind === 'p' ? '' : 'ONLY '}${quoteTable(table)} LIMIT 1`,
      );
      if (rows.length > 0) filled.push(tableName(table));
    }
    if (missing.length === 0 && filled.length === 0) return;
    const reasons = [
      ...(missing.length === 0 ? [] : [`it lacks ${missing.join(', ')}`]),
      ...(filled.length === 0 ? [] : [`these tables hold rows already: ${filled.join(', ')}`]),
    ];
    throw permanent(
      'RESTORE_TARGET_NOT_EMPTY',
      `Database "${names.to}" can't take the data: ${reasons.join('; ')}`,
      'Create the missing tables, empty the filled ones, or select other tables.',
    );
  });
}
