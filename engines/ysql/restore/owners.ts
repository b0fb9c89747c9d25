import { permanent } from '../../../model/errors.ts';
import { type RestoreContext, sourceOf } from '../../engine.ts';
import { membershipRemedy, rolesNotGiven } from '../server/membership.ts';
import { ownersOf } from '../server/roles.ts';
import type { Server } from '../server/server.ts';
import { onlyRow, resolveTarget, type Session, withSession } from '../server/session.ts';
import type { RestoreJob } from './job.ts';

/** Returns the same restore with all objects belonging to `owner`, if one is given. */
export function withOwnerOf(context: RestoreContext, owner: string | undefined): RestoreContext {
  return owner === undefined ? context : { ...context, request: { ...context.request, owner } };
}

/**
 * Returns the owner of a scratch restore's objects when the request names none: the connecting role, unless it is a superuser, who can give each
 * object to its own owner. Undefined for every other restore.
 */
export async function ownerOfScratch(context: RestoreContext): Promise<string | undefined> {
  const { request, signal } = context;
  if (!request.scratch || request.owner !== undefined) return undefined;
  const target = await resolveTarget(
    context,
    request.connection ?? sourceOf(request.source, 'ysql').connection,
  );
  const { role, isSuper } = await withSession(target, target.database, signal, async (session) =>
    onlyRow(
      await session.query<{ role: string; isSuper: boolean }>(
        'read the privileges of the role',
        'SELECT rolname AS role, rolsuper AS "isSuper" FROM pg_catalog.pg_roles WHERE rolname = current_user',
      ),
      'the role of the connection',
    ),
  );
  return isSuper ? undefined : role;
}

/** Throws `RESTORE_MAY_NOT_OWN` (permanent) when the connecting role can't make the intended roles owners of objects. */
export async function requireOwners(job: RestoreJob, server: Server, session: Session): Promise<void> {
  const { request } = job.context;
  if (!job.withSchema) return;
  const wanted = new Set(request.owner === undefined ? ownersIn(job) : [request.owner]);
  const { role, lacking } = await rolesNotGiven(session, server, [...wanted]);
  if (lacking.length === 0) return;
  throw permanent(
    'RESTORE_MAY_NOT_OWN',
    `Role "${role}" is not a member of ${lacking.join(', ')}, so it can't give restored objects to ${lacking.length === 1 ? 'it' : 'them'}`,
    membershipRemedy(role, lacking),
  );
}

function ownersIn(job: RestoreJob): readonly string[] {
  return job.databases.flatMap(({ database, preData, postData, selection }) =>
    [...database, ...preData, ...postData]
      .filter((entry) => selection.keeps(entry))
      .flatMap((entry) => ownersOf(entry)),
  );
}
