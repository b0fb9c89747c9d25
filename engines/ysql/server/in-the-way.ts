import { permanent } from '../../../model/errors.ts';
import { isArchiveName } from './archive-names.ts';
import type { Session } from './session.ts';

const NAMED = 5;

/**
 * Looks, before any session is ended, for obstacles to renaming a database: prepared transactions, and sessions that this role may not
 * end. Throws `RESTORE_PREPARED_TRANSACTIONS` or `RESTORE_SESSIONS_STAY` (permanent).
 */
export async function requireReplaceable(session: Session, database: string): Promise<void> {
  const prepared = await session.query<{ gid: string; owner: string; since: string }>(
    `look for prepared transactions in database "${database}"`,
    `SELECT gid, owner, prepared::text AS since FROM pg_catalog.pg_prepared_xacts WHERE database = $1 ORDER BY prepared`,
    [database],
  );
  if (prepared.length > 0) {
    const list = prepared
      .slice(0, NAMED)
      .map(({ gid, owner, since }) => `"${gid}" of ${owner} since ${since}`);
    throw permanent(
      'RESTORE_PREPARED_TRANSACTIONS',
      `Database "${database}" can't be replaced while it has prepared transactions: ${list.join('; ')}`,
      'End them in that database (COMMIT PREPARED or ROLLBACK PREPARED). No session was ended.',
    );
  }
  const staying = await session.query<{ who: string }>(
    `look for sessions in database "${database}" that this role may not end`,
    `SELECT format('session %s of %s (%s)', a.pid, a.usename, coalesce(nullif(a.application_name, ''), a.backend_type)) AS who
     FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_roles other ON other.oid = a.usesysid
     JOIN pg_catalog.pg_roles self ON self.rolname = current_user
     WHERE a.datname = $1 AND a.pid <> pg_backend_pid() AND NOT self.rolsuper
       AND (other.rolsuper OR NOT (pg_has_role(other.oid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')))
     ORDER BY a.pid`,
    [database],
  );
  if (staying.length === 0) return;
  throw permanent(
    'RESTORE_SESSIONS_STAY',
    `Database "${database}" can't be replaced, since this role may not end these sessions: ${staying
      .slice(0, NAMED)
      .map(({ who }) => who)
      .join('; ')}`,
    'End them yourself, or GRANT pg_signal_backend to the role of the connection. No session was ended.',
  );
}

/** Returns what stays with the replaced database under its new name and would be missed: one sentence for each thing. */
export async function staysBehind(
  session: Session,
  database: string,
  kept: string,
): Promise<readonly string[]> {
  const slots = await session.query<{ name: string; active: boolean }>(
    `look for logical replication slots of database "${database}"`,
    `SELECT slot_name AS name, active FROM pg_catalog.pg_replication_slots WHERE database = $1 ORDER BY 1`,
    [database],
  );
  const subscriptions = await session.query<{ name: string }>(
    `look for subscriptions of database "${database}"`,
    `SELECT s.subname AS name FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
     WHERE d.datname = $1 AND s.subenabled ORDER BY 1`,
    [database],
  );
  return [
    ...slots.map(({ name, active }) =>
      isArchiveName(name)
        ? `The archive of changes of "${database}" begins anew with what is there now: changes of before the exchange that were not stored yet are in "${kept}" alone.`
        : `The logical replication slot ${name}${active ? ', which is in use,' : ''} stays with "${kept}": its reader sees nothing of "${database}" any more.`,
    ),
    ...subscriptions.map(
      ({ name }) =>
        `The subscription ${name} stays with "${kept}" and goes on writing there: disable or move it.`,
    ),
  ];
}
