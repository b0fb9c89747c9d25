import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { permanent, transient } from '../../../model/errors.ts';
import type { ConnectionTarget } from '../../ysql/server/connection-url.ts';
import { describesDatabase } from '../../ysql/server/database-entries.ts';
import { withDatabaseName } from '../../ysql/server/database-name.ts';
import { quoteIdentifier } from '../../ysql/server/identifiers.ts';
import { databaseExists, dropDatabase } from '../../ysql/server/maintenance.ts';
import { createMissingRoles } from '../../ysql/server/missing-roles.ts';
import { findScript, readScript } from '../../ysql/server/scripts.ts';
import { withSession } from '../../ysql/server/session.ts';
import { createMissingTablespaces } from '../../ysql/server/tablespaces.ts';
import { deleteAndSee } from '../release.ts';
import { openUniverse, ownYsqlTarget, type Universe } from '../universe.ts';
import { importSnapshot } from '../yb-admin/import.ts';
import { findNamespace } from '../yb-admin/namespaces.ts';
import { findSnapshot, listSnapshots } from '../yb-admin/snapshots.ts';
import { type RestoredDatabase, restoredDatabases, type UniverseRestore } from './context.ts';
import { NOTES, readImported, readNote, writeImported, writeNote } from './ledger.ts';
import { runDump, schemaDump } from './schema.ts';
import { whenSettled } from './settling.ts';

/** Creates roles, and databases with their schemas, and imports the snapshots' metadata: everything but the files. */
export async function prepareUniverse(restore: UniverseRestore): Promise<void> {
  const universe = await openUniverse(restore, restore.request.source);
  const databases = restoredDatabases(restore);
  if (databases.some(({ api }) => api === 'ysql')) {
    const target = await ownYsqlTarget(restore, universe);
    if (restore.request.globals) await applyGlobals(restore, target);
    for (const database of databases) {
      restore.heartbeat({ database: database.to });
      if (database.api === 'ysql') await createDatabase(restore, target, database);
    }
  }
  for (const database of databases) {
    restore.heartbeat({ importing: database.to });
    await importOne(restore, universe, database);
  }
}

/** Creates the roles and tablespaces that the universe lacks. */
async function applyGlobals(restore: UniverseRestore, target: ConnectionTarget): Promise<void> {
  const object = findScript(restore.manifest.commonObjects, 'globals');
  if (object === undefined) return;
  const script = await readScript(restore, object);
  await withSession(target, target.database, restore.signal, async (session) => {
    await createMissingRoles(session, script);
    await createMissingTablespaces(session, script);
  });
}

/** Creates the database and runs its dump in it, once. First drops what an earlier attempt left half done. */
async function createDatabase(
  restore: UniverseRestore,
  target: ConnectionTarget,
  restored: RestoredDatabase,
): Promise<void> {
  const { index, from, to } = restored;
  if ((await readNote(restore, NOTES.created(index))) !== undefined) return;
  const isOurs = (await readNote(restore, NOTES.creating(index))) !== undefined;
  const dump = await schemaDump(restore, restored);
  await withSession(target, target.database, restore.signal, async (session) => {
    if (await databaseExists(session, to)) {
      if (!isOurs) {
        throw permanent(
          'RESTORE_TARGET_EXISTS',
          `There is already a database ${to}`,
          'Choose another name (--into).',
        );
      }
      await dropDatabase({ target, context: restore }, session, to);
    }
    await writeNote(restore, NOTES.creating(index));
    const create = dump.entries.find(({ type }) => type === 'DATABASE')?.statements[0];
    const statement =
      create === undefined
        ? `CREATE DATABASE ${quoteIdentifier(to)} TEMPLATE template0`
        : withDatabaseName(create, from, to);
    await session.query(`create database "${to}"`, statement);
    for (const entry of dump.entries.filter(describesDatabase)) {
      for (const each of entry.statements.filter(({ tokens }) => tokens[0]?.text !== 'create')) {
        await session.query(`describe database "${to}"`, withDatabaseName(each, from, to));
      }
    }
  });
  await runDump(restore, target, to, dump);
  await writeNote(restore, NOTES.created(index));
}

/**
 * Imports the metadata, once. Each import makes another snapshot and, for YSQL, other tablets, and prints their ids only once. If that output was
 * lost, with a worker or by a time-out, waits until the import has ended, deletes its snapshot, and imports again.
 */
async function importOne(
  restore: UniverseRestore,
  universe: Universe,
  database: RestoredDatabase,
): Promise<void> {
  const { admin } = universe;
  const { index, api, to, snapshot } = database;
  if (snapshot.metadata === undefined || (await readImported(restore, index)) !== undefined) return;
  if (api === 'ycql' && (await readNote(restore, NOTES.creating(index))) === undefined) {
    if ((await findNamespace(admin, 'ycql', to)) !== undefined) {
      throw permanent(
        'RESTORE_TARGET_EXISTS',
        `There is already a keyspace ${to}`,
        'Choose another name (--into).',
      );
    }
    await writeNote(restore, NOTES.creating(index));
  }
  if ((await readNote(restore, NOTES.importing(index))) !== undefined)
    await whenSettled(restore, universe, database);
  const present = (await listSnapshots(admin, { details: false })).map(({ id }) => id);
  const before = await writeNote(restore, NOTES.importing(index), present);
  await deleteLostImports(restore, universe, database, new Set(before));
  const entry = database.database.schemaObjects.find(({ key }) => key === snapshot.metadata);
  if (entry === undefined) {
    throw permanent(
      'MANIFEST_DAMAGED',
      `The manifest does not list ${snapshot.metadata}`,
      'Restore from another backup.',
    );
  }
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-import-'));
  try {
    const file = join(folder, 'SnapshotInfoPB');
    await writeFile(
      file,
      await restore.store.get(restore.folder + entry.key, { expect: entry, signal: restore.signal }),
    );
    const mapping = await importSnapshot(admin, file, `${api}.${to}`, { tables: snapshot.tables.length });
    const tablets = mapping.tables.flatMap(({ newId, tablets: pairs }) =>
      pairs.map((pair) => ({ from: pair.oldId, to: pair.newId, table: newId })),
    );
    await writeImported(restore, index, { snapshot: mapping.newSnapshot, tablets });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function deleteLostImports(
  restore: UniverseRestore,
  { admin }: Universe,
  { to, api }: RestoredDatabase,
  before: ReadonlySet<string>,
): Promise<void> {
  for (const { id, state, objects = [] } of await listSnapshots(admin, { details: true })) {
    const isOfTarget = objects.some(
      ({ type, name, kind }) => type === 'NAMESPACE' && name === to && (kind ?? api) === api,
    );
    if (before.has(id) || !isOfTarget || state === 'DELETED' || state === 'DELETING') continue;
    restore.log('an import whose words were lost is deleted and done again', { snapshot: id });
    await deleteAndSee(admin, restore, id);
  }
}

/** Returns what an import created. Its snapshot must be complete: only the universe's own bookkeeping may have to be waited for. */
export async function requireImported(
  restore: UniverseRestore,
  universe: Universe,
  database: RestoredDatabase,
) {
  const imported = await readImported(restore, database.index);
  if (imported === undefined) {
    throw permanent('RESTORE_NOT_IMPORTED', `${database.to} was not imported`, 'Start the restore again.');
  }
  const state = (await findSnapshot(universe.admin, imported.snapshot))?.state;
  if (state === 'COMPLETE' || state === 'RESTORING') return imported;
  const message = `The imported snapshot ${imported.snapshot} of ${database.to} is ${state ?? 'gone'}`;
  if (state === 'CREATING' || state === 'UNKNOWN')
    throw transient('RESTORE_NOT_COMPLETE', message, 'It is looked at again.');
  throw permanent(
    'RESTORE_SNAPSHOT_GONE',
    message,
    'Raise default_snapshot_retention_hours of the masters if it expired, and start the restore again.',
  );
}
