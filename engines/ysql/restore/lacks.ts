import { type HoldfastError, permanent } from '../../../model/errors.ts';
import type { TargetLacks } from '../../engine.ts';
import { existingRoles, rolesOf } from '../server/roles.ts';
import { findScript } from '../server/scripts.ts';
import type { Session } from '../server/session.ts';
import { TOLERATE_HINT } from './forgiving.ts';
import type { RestoreJob } from './job.ts';
import { restoresLargeObjects } from './large-objects.ts';

/** Finds roles and extensions that the target server lacks. Throws `RESTORE_ROLES_MISSING` (permanent) when the role of `owner` doesn't exist. */
export async function readLacks(job: RestoreJob, session: Session): Promise<TargetLacks> {
  return { roles: await missingRoles(job, session), extensions: await missingExtensions(job, session) };
}

/** Returns one error that names everything that is missing; undefined when nothing is. */
export function lacksError({ roles, extensions }: TargetLacks): HoldfastError | undefined {
  const errors = [
    ...(roles.length === 0 ? [] : [rolesMissing(roles)]),
    ...(extensions.length === 0 ? [] : [extensionsMissing(extensions)]),
  ];
  const [first, second] = errors;
  if (first === undefined || second === undefined) return first;
  return permanent(
    first.code,
    `${first.message}. ${second.message}`,
    `${first.remedy.replace(` ${TOLERATE_HINT}`, '')} ${second.remedy}`,
  );
}

async function missingRoles(job: RestoreJob, session: Session): Promise<readonly string[]> {
  const { request, manifest } = job.context;
  const existing = await existingRoles(session);
  if (request.owner !== undefined && !existing.has(request.owner)) throw rolesMissing([request.owner]);
  if (request.globals && findScript(manifest.commonObjects, 'globals') !== undefined) return [];
  const needed = new Set<string>();
  for (const one of job.databases) {
    const { database, preData, postData, largeObjects, selection } = one;
    const objects = restoresLargeObjects(job, one) ? largeObjects : [];
    for (const entry of [...(job.withSchema ? [...database, ...preData, ...postData] : []), ...objects]) {
      if (!selection.keeps(entry)) continue;
      const optional = request.owner !== undefined && entry.type !== 'POLICY';
      if (!optional) for (const role of rolesOf(entry)) needed.add(role);
    }
  }
  return [...needed].filter((role) => !existing.has(role)).sort();
}

async function missingExtensions(job: RestoreJob, session: Session): Promise<readonly string[]> {
  if (!job.withSchema) return [];
  const needed = new Set(
    job.databases.flatMap(({ preData }) =>
      preData.filter(({ type }) => type === 'EXTENSION').map(({ name }) => name),
    ),
  );
  const rows = await session.query<{ name: string }>(
    'list the extensions that the server has',
    'SELECT name FROM pg_catalog.pg_available_extensions',
  );
  const available = new Set(rows.map(({ name }) => name));
  return [...needed].filter((name) => !available.has(name)).sort();
}

function rolesMissing(roles: readonly string[]): HoldfastError {
  return permanent(
    'RESTORE_ROLES_MISSING',
    `The target server lacks roles that the backup's objects belong to or are granted to: ${roles.join(', ')}`,
    `Create them, or restore with --globals (roles from the backup), or with --owner ROLE (everything belongs to one role). ${TOLERATE_HINT}`,
  );
}

function extensionsMissing(extensions: readonly string[]): HoldfastError {
  return permanent(
    'RESTORE_EXTENSIONS_MISSING',
    `The target server lacks extensions that the backup needs: ${extensions.join(', ')}`,
    `Install them on the server. ${TOLERATE_HINT}`,
  );
}
