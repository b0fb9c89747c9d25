import { permanent } from '../../model/errors.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import type { Selection } from './catalog.ts';
import { tableName } from './identifiers.ts';
import type { Session } from './session.ts';

const NAMED_AT_MOST = 20;

/**
 * Refuses by name what this engine can't carry or this role can't read, before anything is written; all of one database in one
 * error. Throws `YSQL_CANNOT_CARRY` or `YSQL_CANNOT_READ` (permanent).
 */
export async function refuseWhatCannotBeCarried(
  session: Session,
  source: YsqlSource,
  selection: Selection,
): Promise<void> {
  if (source.contents !== 'schema') await refuseLargeObjects(session);
  const unreadable = selection.read.filter(({ readable }) => !readable).map(tableName);
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
    'Connect as a role with pg_read_all_data and BYPASSRLS (or as superuser), or exclude these tables in the plan.',
  );
}

async function refuseLargeObjects(session: Session): Promise<void> {
  const rows = await session.query<{ oid: string }>(
    'look for large objects',
    `SELECT oid::text AS oid FROM pg_catalog.pg_largeobject_metadata ORDER BY oid LIMIT ${NAMED_AT_MOST + 1}`,
  );
  if (rows.length === 0) return;
  throw permanent(
    'YSQL_CANNOT_CARRY',
    `Database "${session.database}" has large objects, which Holdfast can't carry: ${listOf(rows.map(({ oid }) => oid))}`,
    'Move their content into bytea columns (lo_get) and remove them with lo_unlink, or back up the schema only.',
  );
}

function listOf(names: readonly string[]): string {
  const shown = names.slice(0, NAMED_AT_MOST).join(', ');
  return names.length > NAMED_AT_MOST ? `${shown} and ${names.length - NAMED_AT_MOST} or more others` : shown;
}
