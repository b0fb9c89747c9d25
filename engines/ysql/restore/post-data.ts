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
 * Small tables get their keys and indexes in one transaction, since each by itself would cost more than its index. Every table is locked
 * until the transaction ends, so their number is bounded.
 */
const TRANSACTION_TABLES = 16;
/** COPY text of the tables: what is cut off is done again. */
const TRANSACTION_BYTES = 4 * 1024 * 1024;

/** The units that are applied in one transaction, for each transaction, in order. Pure. */
export function transactionsOf(units: readonly PostDataUnit[]): readonly (readonly PostDataUnit[])[] {
  return inGroups(units, {
    maxItems: TRANSACTION_TABLES,
    maxWeight: TRANSACTION_BYTES,
    weightOf: (unit) => (onlyBuilds(unit) ? (unit.bytes ?? 0) : Number.POSITIVE_INFINITY),
  }).flatMap((group) => [...Map.groupBy(group, ({ database }) => database).values()]);
}

/** True where all that a unit does is to create what belongs to its one table: such units can't wait for each other's locks. */
function onlyBuilds({ table, vacuum, count, sequences, again, lockTables }: PostDataUnit): boolean {
  const isMore = vacuum ?? count ?? sequences ?? again;
  return table !== undefined && isMore === undefined && lockTables.length === 0;
}

/** A session serves one batch after another, so the server's own setting bounds each anew. YugabyteDB builds indexes otherwise. */
const HELPERS = `
  SELECT set_config(name, least(reset_val::int, $1::int)::text, false) FROM pg_catalog.pg_settings
  WHERE name = 'max_parallel_maintenance_workers'`;
const ANY_HELPERS = 2 ** 31 - 1;

/** The settings that sessions were last given, since a look at `pg_settings` takes longer than a small index. */
const helpersOf = new WeakMap<Session, number>();

async function boundHelpers(session: Session, helpers: number): Promise<void> {
  if (helpersOf.get(session) === helpers) return;
  await session.query('bound the helpers of an index', HELPERS, [helpers]);
  helpersOf.set(session, helpers);
}

/** @param units one, or some that `onlyBuilds` */
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
    // YugabyteDB has no visibility map, and takes VACUUM for nothing to do. Tables that a role may not vacuum are skipped with a warning.
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
  // A table that was left out can't be locked.
  const locks = forgivenessOf(job, database) === 'nothing';
  await applyUnits(
    session,
    toApply.map(({ id, entries, lockTables }) => ({ id, entries, lockTables: locks ? lockTables : [] })),
    { ...adaptation, ...again },
  );
}
