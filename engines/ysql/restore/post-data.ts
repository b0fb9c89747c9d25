import type { PostDataWork } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import type { RestoreContext } from '../../engine.ts';
import { readServer } from '../server/server.ts';
import type { Session } from '../server/session.ts';
import { applyUnit, readAdaptation } from './apply.ts';
import { withRestoreSession } from './bookkeeping.ts';
import { countAhead } from './check.ts';
import { forgivenessOf } from './forgiving.ts';
import { type RestoreJob, restoreJob } from './job.ts';
import { postDataWaves } from './post-data-order.ts';
import type { PostDataUnit } from './post-data-unit.ts';
import { setSequences } from './sequences.ts';

/** Applies one batch of a wave. Throws `RESTORE_NO_SUCH_TASK` (permanent) where the wave was planned with another number of them. */
export async function applyPostData(context: RestoreContext, work: PostDataWork): Promise<void> {
  const job = await restoreJob(context);
  const planned = postDataWaves(job)[work.wave] ?? [];
  const units = planned[work.unit];
  if (units === undefined || planned.length !== work.units) {
    throw permanent(
      'RESTORE_NO_SUCH_TASK',
      `Wave ${work.wave} of post-data was planned with ${work.units} batches and has ${planned.length}: the plan is another version's`,
      'Start the restore again.',
    );
  }
  for (const unit of units) {
    context.heartbeat({ unit: unit.id });
    await withRestoreSession(job, unit.database, (session) => apply(job, unit, session, work.helpers));
  }
}

/** A session serves one unit after another, so the server's own setting bounds each anew. YugabyteDB builds indexes otherwise. */
const HELPERS = `
  SELECT set_config(name, least(reset_val::int, $1::int)::text, false) FROM pg_catalog.pg_settings
  WHERE name = 'max_parallel_maintenance_workers'`;

async function apply(
  job: RestoreJob,
  unit: PostDataUnit,
  session: Session,
  helpers = 2 ** 31 - 1,
): Promise<void> {
  const { product } = await readServer(session);
  if (product === 'postgresql') await session.query('bound the helpers of an index', HELPERS, [helpers]);
  // YugabyteDB has no visibility map, and takes VACUUM for nothing to do. Tables that a role may not vacuum are skipped with a warning.
  if (unit.vacuum !== undefined && product === 'postgresql') {
    await session.query(`vacuum ${unit.vacuum}`, `VACUUM (ANALYZE) ${unit.vacuum}`);
  }
  if (unit.count !== undefined) await countAhead(session, unit.count);
  if (unit.sequences === true) await setSequences(job, unit.database);
  if (unit.entries.length === 0) return;
  const adaptation = await readAdaptation(job, unit.database, session);
  const again = unit.again === true ? { again: true as const } : {};
  await applyUnit(
    session,
    unit.id,
    unit.entries,
    { ...adaptation, ...again },
    {
      transactionalDdl: product === 'postgresql',
      // A table that was left out can't be locked.
      lockTables: forgivenessOf(job, unit.database) === 'nothing' ? unit.lockTables : [],
    },
  );
}
