import { permanent } from '../../../model/errors.ts';
import type { RestoreContext } from '../../engine.ts';
import { whileBeating } from '../../heartbeat.ts';
import { readServer } from '../server.ts';
import type { Session } from '../session.ts';
import { applyUnit, readAdaptation } from './apply.ts';
import { withRestoreSession } from './bookkeeping.ts';
import { type RestoreJob, restoreJob } from './job.ts';
import { type PostDataUnit, postDataWaves } from './waves.ts';

/** Applies one batch of a wave, which was planned to have so many `batches`. */
export async function applyPostData(
  context: RestoreContext,
  wave: number,
  batch: number,
  batches: number,
): Promise<void> {
  const job = await restoreJob(context);
  const planned = postDataWaves(job)[wave] ?? [];
  const units = planned[batch];
  if (units === undefined || planned.length !== batches) {
    throw permanent(
      'RESTORE_NO_SUCH_TASK',
      `Wave ${wave} of post-data was planned with ${batches} batches and has ${planned.length}: the plan is another version's`,
      'Start the restore again.',
    );
  }
  await whileBeating(context, async (tell) => {
    for (const unit of units) {
      tell({ unit: unit.id });
      await withRestoreSession(job, unit.database, (session) => apply(job, unit, session));
    }
  });
}

async function apply(job: RestoreJob, unit: PostDataUnit, session: Session): Promise<void> {
  const { product } = await readServer(session);
  // YugabyteDB has no visibility map, and takes VACUUM for nothing to do. Tables that a role may not vacuum are skipped with a warning.
  if (unit.vacuum !== undefined && product === 'postgresql') {
    await session.query(`vacuum ${unit.vacuum}`, `VACUUM (ANALYZE) ${unit.vacuum}`);
  }
  if (unit.entries.length === 0) return;
  const adaptation = await readAdaptation(job, unit.database, session);
  await applyUnit(session, unit.id, unit.entries, adaptation, {
    transactionalDdl: product === 'postgresql',
    lockTables: job.databases.some(({ selection }) => !selection.all) ? [] : unit.lockTables,
  });
}
