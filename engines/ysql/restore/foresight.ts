import type { RestoreContext, RestoreEngine, RestoreOutcome, TargetLacks } from '../../engine.ts';
import { withMaintenanceSession } from '../server/maintenance.ts';
import { restoreJob } from './job.ts';
import { readLacks } from './lacks.ts';
import { withOwnerOf } from './owners.ts';

/** How long dropping the scratch databases may take, milliseconds. They are dropped even when the trial was cancelled. */
const CLEAN_UP_MS = 60_000;

/** Finds roles and extensions that the target server lacks. Changes nothing. */
export async function lacksOfTarget(context: RestoreContext): Promise<TargetLacks> {
  const job = await restoreJob(context);
  return await withMaintenanceSession(job, (session) => readLacks(job, session));
}

/** Implements `RestoreEngine.trySchema` with the stages of a scratch restore. */
export async function trySchema(
  stages: Pick<RestoreEngine, 'plan' | 'prepare' | 'postData' | 'finish' | 'discard'>,
  given: RestoreContext,
): Promise<RestoreOutcome> {
  const plan = await stages.plan(given);
  const context = withOwnerOf(given, plan.owner);
  try {
    await stages.prepare(context);
    for (const [wave, units] of plan.postDataWaves.entries()) {
      for (let unit = 0; unit < units; unit += 1) await stages.postData(context, { wave, unit, units });
    }
    return await stages.finish(context);
  } finally {
    await stages.discard({ ...context, signal: AbortSignal.timeout(CLEAN_UP_MS) });
  }
}
