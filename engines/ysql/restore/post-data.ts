import type { PostDataWork } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import type { RestoreContext } from '../../engine.ts';
import type { Session } from '../server/session.ts';
import { applyUnits, readAdaptation, targetServerOf } from './apply.ts';
import { withRestoreSession } from './bookkeeping.ts';
import { countAhead } from './check.ts';
import { forgivenessOf } from './forgiving.ts';
import { inGroups } from './in-groups.ts';
import { type DatabaseJob, type RestoreJob, restoreJob } from './job.ts';
import { postDataWaves } from './post-data-order.ts';
import type { PostDataUnit } from './post-data-unit.ts';
import { setSequences } from './sequences.ts';

/** Applies one batch of a wave. Throws `RESTORE_NO_SUCH_TASK` (permanent) when the wave was planned with a different number of batches. */
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
  for (const some of transactionsOf(units)) {
    const [first] = some;
    if (first === undefined) continue;
    context.heartbeat({ unit: first.id });
    await withRestoreSession(job, first.database, (session) =>
      apply(job, first.database, some, session, work.helpers),
    );
  }
}

/*
 * Small tables get their keys and indexes in one transaction, because a transaction for each would cost more than its index. A
 * transaction locks all its tables until it ends, so their number is bounded.
 */
const TRANSACTION_TABLES = 16;
/** Limit of a transaction, COPY text of its tables: an interrupted transaction is repeated. */
const TRANSACTION_BYTES = 4 * 1024 * 1024;

/** Groups the units by transaction, in order. Pure. */
export function transactionsOf(units: readonly PostDataUnit[]): readonly (readonly PostDataUnit[])[] {
  return inGroups(units, {
    maxItems: TRANSACTION_TABLES,
    maxWeight: TRANSACTION_BYTES,
    weightOf: (unit) => (onlyBuilds(unit) ? (unit.bytes ?? 0) : Number.POSITIVE_INFINITY),
  }).flatMap((group) => [...Map.groupBy(group, ({ database }) => database).values()]);
}

/** True when a unit only creates objects of its one table: such units never wait for each other's locks. */
function onlyBuilds({ table, vacuum, count, sequences, again, lockTables }: PostDataUnit): boolean {
  const isMore = vacuum ?? count ?? sequences ?? again;
  return table !== undefined && isMore === undefined && lockTables.length === 0;
}

/**
 * Limits the parallel workers of an index build to the batch's helpers, and never above the server's own setting (`reset_val`),
 * since the session still has the previous batch's value. YugabyteDB builds indexes differently.
 */
const HELPERS = `
  SELECT set_config(name, least(reset_val::int, $1::int)::text, false) FROM pg_catalog.pg_settings
  WHERE name = 'max_parallel_maintenance_workers'`;
const ANY_HELPERS = 2 ** 31 - 1;

/** The last helpers of each session, because a query of `pg_settings` takes longer than a small index. */
const helpersOf = new WeakMap<Session, number>();

async function boundHelpers(session: Session, helpers: number): Promise<void> {
  if (helpersOf.get(session) === helpers) return;
  await session.query('bound the helpers of an index', HELPERS, [helpers]);
  helpersOf.set(session, helpers);
}

/** @param units one unit, or several for which `onlyBuilds` is true */
async function apply(
  job: RestoreJob,
  database: DatabaseJob,
  units: readonly PostDataUnit[],
  session: Session,
  helpers = ANY_HELPERS,
): Promise<void> {
  const { product } = await targetServerOf(session);
  if (product === 'postgresql') await boundHelpers(session, helpers);
  for (const unit of units) {
    // YugabyteDB has no visibility map, and its VACUUM does nothing. PostgreSQL skips tables that a role may not vacuum, with a warning.
    if (unit.vacuum !== undefined && product === 'postgresql') {
      await session.query(`vacuum ${unit.vacuum}`, `VACUUM (ANALYZE) ${unit.vacuum}`);
    }
    if (unit.count !== undefined) await countAhead(session, unit.count);
    if (unit.sequences === true) await setSequences(job, database);
  }
  const toApply = units.filter(({ entries }) => entries.length > 0);
  if (toApply.length === 0) return;
  const adaptation = await readAdaptation(job, database, session);
  const again = toApply.some((unit) => unit.again === true) ? { again: true as const } : {};
  // A table that was left out doesn't exist, so it can't be locked.
  const locks = forgivenessOf(job, database) === 'nothing';
  await applyUnits(
    session,
    toApply.map(({ id, entries, lockTables }) => ({ id, entries, lockTables: locks ? lockTables : [] })),
    { ...adaptation, ...again },
  );
}
