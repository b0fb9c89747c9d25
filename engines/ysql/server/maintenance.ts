import { permanent } from '../../../model/errors.ts';
import type { ConnectionTarget } from './connection-url.ts';
import { isNoSuchDatabase, sqlState } from './errors.ts';
import { quoteIdentifier } from './identifiers.ts';
import { onEveryNode, type SilentNode } from './nodes.ts';
import type { RestoreNames } from './restore-names.ts';
import { connect, type Session, withSession } from './session.ts';

/** Databases that every server of its product has. */
const USUAL_DATABASES = ['postgres', 'yugabyte', 'template1'];

const NOT_ALLOWED = '42501';

/** The server of a restore, and the names of its databases. */
export interface NamedDatabases {
  readonly target: ConnectionTarget;
  readonly databases: readonly { readonly names: RestoreNames }[];
  readonly context: { readonly signal: AbortSignal };
}

/**
 * Runs `work` in a session in a database that is not under restore. From there databases are created, renamed and dropped. Throws
 * `RESTORE_NO_MAINTENANCE_DATABASE` (permanent).
 */
export async function withMaintenanceSession<T>(
  job: NamedDatabases,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const involved = new Set(job.databases.flatMap(({ names }) => [names.working, names.to, names.kept]));
  const candidates = [job.target.database, ...USUAL_DATABASES].filter((name) => !involved.has(name));
  let failure: unknown;
  for (const name of new Set(candidates)) {
    let session: Session;
    try {
      session = await connect(job.target, name, job.context.signal);
    } catch (error) {
      failure = error;
      const isRefused = error instanceof Error && sqlState(error.cause) === NOT_ALLOWED;
      if (!isNoSuchDatabase(error) && !isRefused) throw error;
      continue;
    }
    try {
      return await work(session);
    } finally {
      await session.close();
    }
  }
  throw permanent(
    'RESTORE_NO_MAINTENANCE_DATABASE',
    `Found no database to work from besides those under restore (tried ${candidates.join(', ')})`,
    'Create a database "postgres", or name another database in the connection URL of the restore.',
    failure,
  );
}

/** True when a database of this name exists. */
export async function databaseExists(session: Session, name: string): Promise<boolean> {
  const rows = await session.query(
    'look for a database',
    'SELECT 1 AS found FROM pg_catalog.pg_database WHERE datname = $1',
    [name],
  );
  return rows.length > 0;
}

/**
 * Ends every other session in a database; on YugabyteDB only those of this node. It needs pg_signal_backend for other roles' sessions. Returns
 * how many there were.
 */
export async function terminateSessions(session: Session, database: string): Promise<number> {
  const ended = await session.query(
    `end the sessions in database "${database}"`,
    'SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()',
    [database],
  );
  return ended.length;
}

/** Like `terminateSessions`, but on every node. Also returns the nodes that could not be asked. */
export async function terminateEverywhere(
  { target, context }: NamedDatabases,
  session: Session,
  database: string,
): Promise<{ readonly ended: number; readonly silent: readonly SilentNode[] }> {
  const { answers, silent } = await onEveryNode(session, target, context.signal, (node) =>
    terminateSessions(node, database),
  );
  return { ended: answers.reduce((sum, count) => sum + count, 0), silent };
}

/** Describes each session in these databases, except this session and the server's own workers. */
export async function sessionsIn(session: Session, databases: readonly string[]): Promise<readonly string[]> {
  const rows = await session.query<{ who: string }>(
    'look for sessions',
    `SELECT format('session %s of %s in "%s" (%s)', pid, usename, datname, coalesce(nullif(application_name, ''), backend_type)) AS who
     FROM pg_catalog.pg_stat_activity
     WHERE datname = ANY ($1::text[]) AND pid <> pg_backend_pid() AND usename IS NOT NULL ORDER BY pid`,
    [databases],
  );
  return rows.map(({ who }) => who);
}

/** Closes a database to new sessions. Existing sessions stay. */
export async function closeToSessions(session: Session, database: string): Promise<void> {
  await allowConnections(session, database, false);
}

/** Opens a database to new sessions again. */
export async function openToSessions(session: Session, database: string): Promise<void> {
  await allowConnections(session, database, true);
}

async function allowConnections(session: Session, database: string, allowed: boolean): Promise<void> {
  await session.query(
    `${allowed ? 'open' : 'close'} database "${database}" ${allowed ? 'to' : 'for'} sessions`,
    `ALTER DATABASE ${quoteIdentifier(database)} ALLOW_CONNECTIONS ${allowed}`,
  );
}

/** Drops a database after removing what would prevent it: sessions, the template flag, subscriptions. Does nothing when it doesn't exist. */
export async function dropDatabase(
  { target, context }: Pick<NamedDatabases, 'target' | 'context'>,
  session: Session,
  name: string,
): Promise<void> {
  const [held] = await session.query<{ template: boolean; subscribed: boolean }>(
    `look for what holds database "${name}"`,
    `SELECT datistemplate AS template, EXISTS (SELECT FROM pg_catalog.pg_subscription s WHERE s.subdbid = d.oid) AS subscribed
     FROM pg_catalog.pg_database d WHERE datname = $1`,
    [name],
  );
  if (held === undefined) return;
  if (held.subscribed) await withSession(target, name, context.signal, dropSubscriptions);
  if (held.template) {
    await session.query(
      `make database "${name}" no template`,
      `ALTER DATABASE ${quoteIdentifier(name)} IS_TEMPLATE false`,
    );
  }
  await terminateSessions(session, name);
  await session.query(`drop database "${name}"`, `DROP DATABASE IF EXISTS ${quoteIdentifier(name)}`);
}

/** Drops the subscriptions of this database. Their slots at the publisher stay, because a copy has the same slot names as the original, which uses them. */
async function dropSubscriptions(session: Session): Promise<void> {
  const subscriptions = await session.query<{ name: string }>(
    `list the subscriptions of database "${session.database}"`,
    `SELECT subname AS name FROM pg_catalog.pg_subscription s
     JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database()`,
  );
  for (const { name } of subscriptions) {
    const subscription = quoteIdentifier(name);
    const doing = `drop subscription ${name} of the copy "${session.database}"`;
    await session.query(doing, `ALTER SUBSCRIPTION ${subscription} DISABLE`);
    await session.query(doing, `ALTER SUBSCRIPTION ${subscription} SET (slot_name = NONE)`);
    await session.query(doing, `DROP SUBSCRIPTION ${subscription}`);
  }
}
