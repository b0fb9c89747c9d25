import type pg from 'pg';
import { type HoldfastError, permanent } from '../../../model/errors.ts';

/** What a session finds out of the way to its server. */
export interface Backend {
  /** The server's process that answered right after connecting. */
  readonly pid: number;
  /** Something between us and the server answers in its place: the process is not the one that was named when the connection was made. */
  readonly pooled: boolean;
}

/** Asks which process of the server answers. */
export const ASK_BACKEND = 'SELECT pg_catalog.pg_backend_pid() AS pid';

/**
 * Refuses a pooler that gives a session's statements to several sessions of the server (pgbouncer's `pool_mode = transaction` or `statement`):
 * what Holdfast and pg_dump set would be another session's. One that keeps a session together passes. `other` is a second connection on the
 * same way: in transaction mode it is lent the process that answered `client`, or `client` is answered by another one afterwards.
 *
 * @throws HoldfastError `YSQL_POOLER` (permanent)
 */
export async function refuseSharedSessions(
  client: pg.Client,
  { pid }: Backend,
  other: pg.Client,
  database: string,
): Promise<void> {
  await other.query('BEGIN');
  const lent = await backendOf(other);
  const now = await backendOf(client);
  await other.query('ROLLBACK');
  if (lent === pid || now !== pid) throw sessionIsShared(database);
}

async function backendOf(client: pg.Client): Promise<number | undefined> {
  const { rows } = await client.query<{ pid: number }>(ASK_BACKEND);
  return rows[0]?.pid;
}

/** The statements of one session of ours run in several of the server's. */
export function sessionIsShared(database: string): HoldfastError {
  return permanent(
    'YSQL_POOLER',
    `A pooler stands before database "${database}" and gives the statements of one session to several sessions of the server, so that settings are lost`,
    'Connect directly to the server, not through a pooler in transaction mode.',
  );
}
