import { permanent } from '../../../model/errors.ts';
import type { RestoreContext } from '../../engine.ts';
import { whileBeating } from '../../heartbeat.ts';
import { readServer } from '../server.ts';
import { applyUnit, readAdaptation } from './apply.ts';
import { withRestoreSession } from './bookkeeping.ts';
import { restoreJob } from './job.ts';
import { postDataWaves } from './waves.ts';

/** Applies one unit of one wave. */
export async function applyPostData(context: RestoreContext, wave: number, unit: number): Promise<void> {
  const job = await restoreJob(context);
  const work = postDataWaves(job)[wave]?.[unit];
  if (work === undefined) {
    throw permanent(
      'RESTORE_NO_SUCH_TASK',
      `The restore has no unit ${unit} in wave ${wave} of post-data`,
      'Start the restore again.',
    );
  }
  await whileBeating(context, async (tell) => {
    tell({ unit: work.id });
    await withRestoreSession(job, work.database, async (session) => {
      const { product } = await readServer(session);
      const adaptation = await readAdaptation(job, work.database, session);
      await applyUnit(session, work.id, work.entries, adaptation, {
        transactionalDdl: product === 'postgresql',
        lockTables: job.databases.some(({ selection }) => !selection.all) ? [] : work.lockTables,
      });
    });
  });
}
