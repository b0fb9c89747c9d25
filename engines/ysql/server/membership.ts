import { currentRole } from './read-time.ts';
import type { Server } from './server.ts';
import type { Session } from './session.ts';

/** Returns which of these roles the connecting role can't make an owner, because it is not a member of them. Leaves out roles that don't exist. */
export async function rolesNotGiven(
  session: Session,
  { major }: Pick<Server, 'major'>,
  roles: readonly string[],
): Promise<{ readonly role: string; readonly lacking: readonly string[] }> {
  // Since PostgreSQL 16 a membership may lack the right to SET ROLE, which changing an object's owner requires.
  const right = major >= 16 ? 'SET' : 'MEMBER';
  const rows = await session.query<{ name: string }>(
    'read the memberships of the role',
    `SELECT rolname AS name FROM pg_catalog.pg_roles
      WHERE rolname = ANY ($1) AND NOT pg_catalog.pg_has_role(current_user, oid, '${right}') ORDER BY 1`,
    [roles],
  );
  return { role: await currentRole(session), lacking: rows.map(({ name }) => name) };
}

/** The remedy: what to write in the plan or on the command line, or which roles to grant. */
export function membershipRemedy(role: string, lacking: readonly string[]): string {
  return `Let everything belong to this role: write \`restore: { owner: ${role} }\` in the plan, or --owner ${role}. Or GRANT ${lacking.join(', ')} TO ${role}.`;
}
