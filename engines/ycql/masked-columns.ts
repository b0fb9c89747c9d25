import { setTimeout as sleep } from 'node:timers/promises';
import { permanent } from '../../model/errors.ts';
import { isUnauthorized } from './errors.ts';
import { quoteName } from './identifiers.ts';
import { allColumns, type KeyspaceSchema } from './schema.ts';
import type { CqlSession } from './session.ts';

interface GrantRow {
  readonly resource: string;
  readonly permission: string;
}

/**
 * Throws `YCQL_MASKED` (permanent), naming the columns that the plan's login sees masked: a backup would hold the masks instead of the values.
 * Cassandra 5 has masks, and the permission UNMASK.
 *
 * @param username the plan's login, if there is one
 */
export async function refuseMasked(
  session: CqlSession,
  username: string | undefined,
  schemas: readonly KeyspaceSchema[],
  signal: AbortSignal,
): Promise<void> {
  const masked = schemas.flatMap(({ keyspace, tables }) =>
    tables.flatMap((table) => {
      const columns = allColumns(table).flatMap(({ name, mask }) => (mask === undefined ? [] : [name]));
      return columns.length === 0 ? [] : [{ keyspace, table: table.name, columns }];
    }),
  );
  if (masked.length === 0) return;
  const sees = await unmaskedFor(session, username, signal);
  const hidden = masked.filter(({ keyspace, table }) => !sees(keyspace, table));
  if (hidden.length === 0) {
    // Not every node knows a permission that was granted a moment ago, so rows could still come masked.
    if (sees !== everything) await sleep(PERMISSIONS_KEPT_MS, undefined, { signal });
    return;
  }
  const list = hidden.map(({ keyspace, table, columns }) => `${keyspace}.${table} (${columns.join(', ')})`);
  const keyspaces = [...new Set(hidden.map(({ keyspace }) => keyspace))];
  const grants = keyspaces.map(
    (one) => `GRANT UNMASK ON KEYSPACE ${quoteName(one)} TO ${quoteName(username ?? 'ROLE')}`,
  );
  throw permanent(
    'YCQL_MASKED',
    `The role ${username ?? 'that the server takes this worker for'} may not see these columns unmasked, and the backup would hold their masks: ${list.join('; ')}`,
    `As a superuser: ${grants.join('; ')}. Or exclude these tables in the plan (\`tables: { exclude: […] }\`).`,
  );
}

/** Nodes cache permissions for two seconds (`permissions_validity` of cassandra.yaml by default). */
const PERMISSIONS_KEPT_MS = 2_500;

type Sees = (keyspace: string, table: string) => boolean;

const everything: Sees = () => true;

async function unmaskedFor(
  session: CqlSession,
  username: string | undefined,
  signal: AbortSignal,
): Promise<Sees> {
  if (username === undefined) {
    // A server without logins checks no permissions, and masks nothing. A login by certificate has a role that CQL doesn't report.
    return (await isAnonymous(session, signal)) ? everything : () => false;
  }
  const doing = `see what ${username} may read unmasked`;
  const roles = await session.query<{ super: boolean }>(
    doing,
    `LIST ROLES OF ${quoteName(username)}`,
    [],
    signal,
  );
  if (roles.some((role) => role.super)) return everything;
  const granted = await session.query<GrantRow>(
    doing,
    `LIST ALL PERMISSIONS OF ${quoteName(username)}`,
    [],
    signal,
  );
  const places = new Set(
    granted.filter(({ permission }) => permission === 'UNMASK').map(({ resource }) => resource),
  );
  return (keyspace, table) =>
    places.has('<all keyspaces>') ||
    places.has(`<keyspace ${keyspace}>`) ||
    places.has(`<table ${keyspace}.${table}>`);
}

async function isAnonymous(session: CqlSession, signal: AbortSignal): Promise<boolean> {
  try {
    await session.query('see who is logged in', 'LIST ROLES', [], signal);
    return false;
  } catch (error) {
    if (!(error instanceof Error) || !isUnauthorized(error.cause)) throw error;
    return /anonymous/i.test(error.message);
  }
}
