import { readDump } from '../dump-script.ts';
import { findScript, readScript } from '../scripts.ts';
import { readServer } from '../server.ts';
import { inTransaction, type Session } from '../session.ts';
import type { Statement } from '../sql-text.ts';
import type { RestoreJob } from './job.ts';
import { withMaintenanceSession } from './maintenance.ts';
import { existingRoles } from './roles.ts';
import { createMissingTablespaces } from './tablespaces.ts';

/**
 * Creates the roles of the backup that this server lacks, with their attributes, settings and memberships, and on YugabyteDB its
 * tablespaces, which say there in which regions rows may stand. What exists stays as it is. On PostgreSQL tablespaces are left to the
 * operator: they are folders of a machine.
 */
export async function applyGlobals(job: RestoreJob): Promise<void> {
  const { context } = job;
  const object = findScript(context.manifest.commonObjects, 'globals');
  if (object === undefined) {
    context.log('the backup holds no globals: no roles are created');
    return;
  }
  const script = await readScript(context, object);
  await withMaintenanceSession(job, async (session) => {
    await createMissingRoles(session, script);
    const { product } = await readServer(session);
    if (product === 'yugabytedb') await createMissingTablespaces(session, script);
  });
}

/** Runs what a script of pg_dumpall or ysql_dumpall says of roles that the server lacks. */
export async function createMissingRoles(session: Session, script: string): Promise<void> {
  const existing = await existingRoles(session);
  await inTransaction(session, async () => {
    for (const { statement } of readDump(script).steps) {
      const role = newRoleOf(statement);
      if (role === undefined || existing.has(role)) continue;
      await session.query(`create role "${role}"`, statement.text);
    }
  });
}

/** The role that a statement of pg_dumpall creates, alters or makes a member; undefined for everything else. */
function newRoleOf({ tokens }: Statement): string | undefined {
  const [first, second, third] = tokens;
  if ((first?.text === 'create' || first?.text === 'alter') && second?.text === 'role') return third?.text;
  if (first?.text === 'comment' && second?.text === 'on' && third?.text === 'role') return tokens[3]?.text;
  if (first?.text !== 'grant') return undefined;
  const to = tokens.findIndex(({ kind, text }) => kind === 'word' && text === 'to');
  return tokens[2]?.text === 'on' ? undefined : tokens[to + 1]?.text;
}
