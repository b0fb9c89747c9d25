import type pg from 'pg';
import { type HoldfastError, permanent } from '../../../model/errors.ts';

/** What a session finds out about the server process behind its connection. */
export interface Backend {
  /** The id of the server process that answered right after connecting. */
  readonly pid: number;
  /** True when a pooler stands between us and the server: the process that answers is not the one that was named when the connection was made. */
  readonly pooled: boolean;
}

/** Asks which server process answers. */
export const ASK_BACKEND = 'SELECT pg_catalog.pg_backend_pid() AS pid';

/**
 * Refuses a pooler that distributes one session's statements over several server sessions (pgbouncer's `pool_mode = transaction` or
 * `statement`): settings of Holdfast and pg_dump would land in a session of somebody else. A pooler that keeps a session together passes.
 * `other` is a second connection through the same pooler. In transaction mode `other` gets the process that answered `client`, or another
 * process answers `client` afterwards.
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

/** The error for one session of ours whose statements run in several sessions of the server. */
export function sessionIsShared(database: string): HoldfastError {
  return permanent(
    'YSQL_POOLER',
    `A pooler stands before database "${database}" and gives the statements of one session to several sessions of the server, so that settings are lost`,
    'Connect directly to the server, not through a pooler in transaction mode.',
  );
}
