import { permanent, READ_POINT_LOST } from '../../model/errors.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import {
  carriesLargeObjects,
  findLargeObjects,
  LARGE_OBJECT_PAGES,
  requireUsualPages,
} from './large-objects.ts';
import type { Selection } from './server/catalog.ts';
import { tableName } from './server/identifiers.ts';
import { readServer } from './server/server.ts';
import type { Session } from './server/session.ts';

const NAMED_AT_MOST = 20;

/**
 * Refuses, before anything is written, what this engine can't carry or this role can't read. One error names everything of one
 * database. Throws `YSQL_CANNOT_CARRY`, `YSQL_CANNOT_READ`, or, where something was dropped after the read point, `READ_POINT_LOST` (permanent).
 */
export async function refuseWhatCannotBeCarried(
  session: Session,
  source: YsqlSource,
  selection: Selection,
): Promise<void> {
  const gone = selection.read.filter(({ readable }) => readable === null).map(tableName);
  if (gone.length > 0) {
    throw permanent(
      READ_POINT_LOST,
      `In database "${session.database}" ${listOf(gone)} was dropped after the read point`,
      'A new read point is opened. Back up while no DDL runs if this repeats.',
    );
  }
  const unreadable = [
    ...selection.read.filter(({ readable }) => !readable).map(tableName),
    ...(await unreadableLargeObjects(session, source)),
  ];
  const filtered =
    source.contents === 'schema'
      ? []
      : selection.data.filter((table) => table.readable && table.filtered).map(tableName);
  if (unreadable.length === 0 && filtered.length === 0) return;
  const reasons = [
    ...(unreadable.length === 0 ? [] : [`no SELECT privilege on ${listOf(unreadable)}`]),
    ...(filtered.length === 0 ? [] : [`row security hides rows of ${listOf(filtered)}`]),
  ];
  throw permanent(
    'YSQL_CANNOT_READ',
    `The plan's role can't read all of database "${session.database}": ${reasons.join('; ')}`,
    `${await whoReadsAll(session)}, or exclude these tables in the plan.`,
  );
}

/** PostgreSQL has the role `pg_read_all_data` from version 14 on, so YugabyteDB's PostgreSQL 11 line lacks it. */
async function whoReadsAll(session: Session): Promise<string> {
  const { major } = await readServer(session);
  return major >= 14
    ? 'Connect as a role with pg_read_all_data and BYPASSRLS (or as superuser)'
    : 'Connect as a superuser, or as a role with BYPASSRLS, USAGE on these schemas and SELECT on all their tables and sequences';
}

/** Names the table of the large objects' pages when the backup must carry large objects and this role may not read it. */
async function unreadableLargeObjects(session: Session, source: YsqlSource): Promise<readonly string[]> {
  if (!carriesLargeObjects(source)) return [];
  const { count, readable, blockBytes } = await findLargeObjects(session);
  if (count === 0) return [];
  requireUsualPages(blockBytes, session.database);
  return readable ? [] : [`${tableName(LARGE_OBJECT_PAGES)} (the database has ${count} large objects)`];
}

function listOf(names: readonly string[]): string {
  const shown = names.slice(0, NAMED_AT_MOST).join(', ');
  return names.length > NAMED_AT_MOST ? `${shown} and ${names.length - NAMED_AT_MOST} or more others` : shown;
}
