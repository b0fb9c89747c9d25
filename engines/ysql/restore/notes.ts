import type { RestoreRecord } from '../../../repository/restore-records.ts';
import { quoteIdentifier } from '../server/identifiers.ts';
import { staysBehind } from '../server/in-the-way.ts';
import { databaseExists, withMaintenanceSession } from '../server/maintenance.ts';
import { existingRoles, rolesWithGrants, rolesWithSettings } from '../server/roles.ts';
import type { Session } from '../server/session.ts';
import { databaseTablespace, existingTablespaces, missingTablespaces } from '../server/tablespaces.ts';
import type { RestoreJob } from './job.ts';

const MAX_NAMED = 5;

/** What the operator must know about replaced databases, missing tablespaces, and settings for roles that don't exist. */
export async function notesOn(job: RestoreJob, record: RestoreRecord): Promise<readonly string[]> {
  return await withMaintenanceSession(job, async (session) => {
    const roles = await existingRoles(session);
    const notes: string[] = [...(await tablespacesMissed(job, session))];
    for (const { to, working, kept } of record.databases) {
      const isPending = await databaseExists(session, working);
      if (kept !== undefined) notes.push(...(await staysBehind(session, isPending ? to : kept, kept)));
    }
    if (job.context.request.owner === undefined) return notes;
    for (const { database, preData, postData, largeObjects, names, selection } of job.databases) {
      for (const role of rolesWithSettings(database).filter((name) => !roles.has(name))) {
        notes.push(
          `Settings of role ${role} in database "${names.to}" are left out: this server has no such role.`,
        );
      }
      const entries = [...database, ...preData, ...postData, ...largeObjects].filter((entry) =>
        selection.keeps(entry),
      );
      const missing = rolesWithGrants(job.withSchema ? entries : []).filter((name) => !roles.has(name));
      if (missing.length > 0) {
        notes.push(
          `Privileges in database "${names.to}" that name ${missing.slice(0, MAX_NAMED).join(', ')}${missing.length > MAX_NAMED ? ` and ${missing.length - MAX_NAMED} more` : ''} are left out: this server has no such role.`,
        );
      }
    }
    return notes;
  });
}

/** Reports objects that went to the default tablespace because theirs is missing: laws may require where rows are stored. */
async function tablespacesMissed(job: RestoreJob, session: Session): Promise<readonly string[]> {
  if (!job.withSchema) return [];
  const settings = job.databases.flatMap(({ preData, postData, selection }) =>
    [...preData, ...postData].filter((entry) => selection.keeps(entry)).flatMap((entry) => entry.settings),
  );
  const existing = await existingTablespaces(session);
  const ofDatabases = job.databases
    .flatMap(({ database }) => database.flatMap(({ statements }) => statements))
    .flatMap((statement) => databaseTablespace(statement) ?? [])
    .filter((name) => !existing.has(name));
  return [...new Set([...ofDatabases, ...missingTablespaces(settings, existing)])].map(
    (name) =>
      `This server has no tablespace ${quoteIdentifier(name)}: its objects are in the default one. Create it and move them, or restore with --globals onto YugabyteDB.`,
  );
}
