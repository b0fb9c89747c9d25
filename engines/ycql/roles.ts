import { isInvalid } from './errors.ts';
import { quoteName, quoteTable, quoteText } from './identifiers.ts';
import type { CqlSession } from './session.ts';

interface RoleRow {
  readonly role: string;
  readonly can_login: boolean | null;
  readonly is_superuser: boolean | null;
  readonly salted_hash: string | null;
  readonly member_of: readonly string[] | null;
}

interface PermissionRow {
  readonly role: string;
  readonly resource: string;
  readonly permissions: readonly string[] | null;
}

/**
 * Roles, memberships and grants as CQL, as far as the server has them and lets this login read them. Leaves out the server's own superuser, which
 * every cluster has.
 */
export async function rolesScript(
  session: CqlSession,
  withPasswords: boolean,
  signal: AbortSignal,
): Promise<string> {
  const read = async <Row extends object>(table: string): Promise<readonly Row[]> => {
    try {
      return await session.query<Row>(
        `read system_auth.${table}`,
        `SELECT * FROM system_auth.${table}`,
        [],
        signal,
      );
    } catch (error) {
      if (error instanceof Error && isInvalid(error.cause)) return []; // the server has no such table
      throw error;
    }
  };
  const roles = (await read<RoleRow>('roles')).filter(({ role }) => role !== 'cassandra');
  const permissions = await read<PermissionRow>('role_permissions');
  const lines = [
    ...roles.map((role) => `${createRole(role, withPasswords)};`),
    ...roles.flatMap(({ role, member_of }) =>
      (member_of ?? []).map((group) => `GRANT ${quoteName(group)} TO ${quoteName(role)};`),
    ),
    ...permissions
      .filter(({ role }) => roles.some((known) => known.role === role))
      .flatMap(({ role, resource, permissions: granted }) => {
        const place = resourceInCql(resource);
        return place === undefined
          ? [`-- not carried: grant on ${resource} to ${role}`]
          : (granted ?? []).map((permission) => `GRANT ${permission} ON ${place} TO ${quoteName(role)};`);
      }),
  ];
  return `-- Roles of the source${withPasswords ? ', with the hashes of their passwords' : ', without passwords'}.\n${lines.join('\n')}\n`;
}

function createRole({ role, can_login, is_superuser, salted_hash }: RoleRow, withPasswords: boolean): string {
  const options = [`SUPERUSER = ${is_superuser === true}`, `LOGIN = ${can_login === true}`];
  const password =
    withPasswords && salted_hash !== null && salted_hash !== undefined
      ? [`HASHED PASSWORD = ${quoteText(salted_hash)}`]
      : [];
  return `CREATE ROLE IF NOT EXISTS ${quoteName(role)} WITH ${[...password, ...options].join(' AND ')}`;
}

/** A resource such as `data/ks/table` in CQL; undefined for kinds that Holdfast doesn't carry (functions, JMX). */
function resourceInCql(resource: string): string | undefined {
  const [kind, ...path] = resource.split('/');
  if (kind === 'data') {
    const [keyspace, table] = path;
    if (keyspace === undefined) return 'ALL KEYSPACES';
    return table === undefined ? `KEYSPACE ${quoteName(keyspace)}` : `TABLE ${quoteTable(keyspace, table)}`;
  }
  if (kind === 'roles') return path[0] === undefined ? 'ALL ROLES' : `ROLE ${quoteName(path[0])}`;
  return undefined;
}
