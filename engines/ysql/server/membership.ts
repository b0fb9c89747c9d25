import { currentRole } from './read-time.ts';
import type { Server } from './server.ts';
import type { Session } from './session.ts';

/** Which of some roles the connecting role can't make owners, since it is no member of them. Roles that don't exist are left out. */
export async function rolesNotGiven(
  session: Session,
  { major }: Pick<Server, 'major'>,
  roles: readonly string[],
): Promise<{ readonly role: string; readonly lacking: readonly string[] }> {
  // Since PostgreSQL 16 a membership may be without the right to SET ROLE, which giving away an object asks for.
  const right = major >= 16 ? 'SET' : 'MEMBER';
  const rows = await session.query<{ name: string }>(
    'read the memberships of the role',
    `SELECT rolname AS name FROM pg_catalog.pg_roles
      WHERE rolname = ANY ($1) AND NOT pg_catalog.pg_has_role(current_user, oid, '${right}') ORDER BY 1`,
    [roles],
  );
  return { role: await currentRole(session), lacking: rows.map(({ name }) => name) };
}

/** What to write in the plan or on the command line, or to grant. */
export function membershipRemedy(role: string, lacking: readonly string[]): string {
  return `Let everything belong to this role: write \`restore: { owner: ${role} }\` in the plan, or --owner ${role}. Or GRANT ${lacking.join(', ')} TO ${role}.`;
}
