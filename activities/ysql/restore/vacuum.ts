import { permanent } from '../../../model/errors.ts';
import type { ManifestTable } from '../../../model/manifest.ts';
import type { RestoreContext } from '../../engine.ts';
import { whileBeating } from '../../heartbeat.ts';
import { quoteTable, tableName } from '../identifiers.ts';
import { withRestoreSession } from './bookkeeping.ts';
import { type DatabaseJob, type RestoreJob, restoreJob } from './job.ts';

interface LoadedTable {
  readonly database: DatabaseJob;
  readonly table: ManifestTable;
}

/** Smaller tables have nothing to gain. */
const LEAST_BYTES = 1024 * 1024;
/** So that the history of a restore with many tables stays short. */
const MOST_UNITS = 100;

/**
 * Loaded tables that a VACUUM (ANALYZE) is worth while for, before indexes are built and foreign keys checked: once the
 * visibility map says that every row is there for everybody, foreign keys are checked and rows counted in the index alone
 * (measured: a third of the time). Largest first. Pure, and so the same on every worker.
 */
export function vacuumUnits(job: RestoreJob): readonly (readonly LoadedTable[])[] {
  if (!job.withData) return [];
  const tables = job.databases
    .flatMap((database) =>
      database.manifest.tables
        .filter((table) => database.selection.includes(table) && table.bytes >= LEAST_BYTES)
        .map((table) => ({ database, table })),
    )
    .sort((a, b) => b.table.bytes - a.table.bytes);
  const units = Math.min(MOST_UNITS, tables.length);
  return Array.from({ length: units }, (_, unit) => tables.filter((_, place) => place % units === unit));
}

/** Vacuums and analyzes the tables of one unit. What a role may not vacuum the server skips with a warning. */
export async function vacuum(context: RestoreContext, unit: number): Promise<void> {
  const job = await restoreJob(context);
  const tables = vacuumUnits(job)[unit];
  if (tables === undefined) {
    throw permanent(
      'RESTORE_NO_SUCH_TASK',
      `The restore has no unit ${unit} of tables to vacuum`,
      'Start the restore again.',
    );
  }
  await whileBeating(context, async (tell) => {
    for (const { database, table } of tables) {
      tell({ table: tableName(table) });
      await withRestoreSession(job, database, (session) =>
        session.query(`vacuum ${tableName(table)}`, `VACUUM (ANALYZE) ${quoteTable(table)}`),
      );
    }
  });
}
