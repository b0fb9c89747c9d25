import type { RestoreContext, RestoreOutcome } from '../../engine.ts';
import { restoreEngine } from './engine.ts';
import { restoreJob } from './job.ts';
import { readLacks, type TargetLacks } from './lacks.ts';
import { withMaintenanceSession } from './maintenance.ts';

/** Roles and extensions that the target server lacks. Changes nothing. */
export async function lacksOfTarget(context: RestoreContext): Promise<TargetLacks> {
  const job = await restoreJob(context);
  return await withMaintenanceSession(job, (session) => readLacks(job, session));
}

/**
 * Creates the backup's schema without rows in scratch databases of the target server, and drops them. The outcome lists what the server
 * refuses. The request of `context` must be one of a rehearsal: `scratch`, with contents `schema`, and `tolerate`.
 */
export async function trySchema(context: RestoreContext): Promise<RestoreOutcome> {
  const plan = await restoreEngine.plan(context);
  try {
    await restoreEngine.prepare(context);
    for (const [wave, units] of plan.postDataWaves.entries()) {
      for (let unit = 0; unit < units; unit += 1)
        await restoreEngine.postData(context, { wave, unit, units });
    }
    return await restoreEngine.finish(context);
  } finally {
    await restoreEngine.discard(context);
  }
}
