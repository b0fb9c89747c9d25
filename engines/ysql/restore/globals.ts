import { withMaintenanceSession } from '../server/maintenance.ts';
import { createMissingRoles } from '../server/missing-roles.ts';
import { findScript, readScript } from '../server/scripts.ts';
import { readServer } from '../server/server.ts';
import { createMissingTablespaces } from '../server/tablespaces.ts';
import type { RestoreJob } from './job.ts';

/**
 * Creates the roles of the backup that this server lacks, with attributes, settings and memberships. On YugabyteDB it also creates
 * its tablespaces, which say in which regions rows may be stored. Existing ones stay as they are. On PostgreSQL tablespaces are
 * folders of a machine, so the operator must create them.
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
