import type { ConnectionTarget } from '../../ysql/server/connection-url.ts';
import { describesDatabase } from '../../ysql/server/database-entries.ts';
import { type Dump, type DumpStep, readDump } from '../../ysql/server/dump-script.ts';
import { readScript, requireScript } from '../../ysql/server/scripts.ts';
import { withSession } from '../../ysql/server/session.ts';
import {
  existingTablespaces,
  missingTablespaces,
  withKnownTablespace,
} from '../../ysql/server/tablespaces.ts';
import type { RestoredDatabase, UniverseRestore } from './context.ts';

/** The parsed schema script of a database. Throws `DUMP_UNREADABLE` (permanent), as `readDump` does. */
export async function schemaDump(
  restore: UniverseRestore,
  { from, database }: RestoredDatabase,
): Promise<Dump> {
  return readDump(await readScript(restore, requireScript(database.schemaObjects, 'schema', from)));
}

/**
 * Runs the statements of a dump in `database` one by one. No shell runs them, since names and comments in a dump may hold anything. All run in one
 * session, since what the dump sets for the next object's oid holds for that session only.
 */
export async function runDump(
  restore: Pick<UniverseRestore, 'signal' | 'heartbeat' | 'log'>,
  target: ConnectionTarget,
  database: string,
  { steps }: Dump,
): Promise<void> {
  const own = steps.filter(({ entry }) => entry === undefined || !describesDatabase(entry));
  await withSession(target, database, restore.signal, async (session) => {
    const tablespaces = await existingTablespaces(session);
    const texts = own.map(({ statement }) => statement.text);
    for (const tablespace of missingTablespaces(texts, tablespaces)) {
      restore.log(
        'the universe lacks a tablespace: its objects go to the default one. Create it before, or restore with globals',
        { database, tablespace },
      );
    }
    for (const { statement, entry } of own) {
      restore.heartbeat({ database, creating: entry?.name });
      await session.query(described(entry, database), withKnownTablespace(statement.text, tablespaces));
    }
  });
}

function described(entry: DumpStep['entry'], database: string): string {
  if (entry === undefined) return `prepare database "${database}" for its schema`;
  const { type, schema, name } = entry;
  return `create ${type} ${schema === undefined ? '' : `${schema}.`}${name} in database "${database}"`;
}
