import { permanent } from '../../../model/errors.ts';
import { holdsLargeObjects } from '../large-objects.ts';
import { BOOKKEEPING_SCHEMA } from '../server/bookkeeping-schema.ts';
import { quoteIdentifier, quoteTable, tableName } from '../server/identifiers.ts';
import { inTransaction, type Session } from '../server/session.ts';
import { unseenByEventTriggers } from './event-triggers.ts';
import type { DatabaseJob } from './job.ts';

/*
 * When only data is restored, the tables have their triggers and foreign keys already. These are switched off for the load and
 * then get exactly their former state back, which the bookkeeping holds meanwhile.
 */

/** Records the state of every trigger of the selected tables and switches all of them off, including system triggers (foreign keys). */
export async function disableTriggers(session: Session, database: DatabaseJob): Promise<void> {
  const tables = database.manifest.tables.filter(
    (table) => database.selection.includes(table) && !holdsLargeObjects(table),
  );
  // Loading through a partitioned table fires its statement triggers. The triggers of its partitions are recorded first.
  const routes = new Map(
    tables
      .flatMap((table) => database.routes.get(tableName(table)) ?? [])
      .map((one) => [tableName(one), one]),
  );
  for (const table of [...tables, ...routes.values()]) {
    const name = quoteTable(table);
    const noted = await session.query(
      `note the triggers of ${tableName(table)}`,
      `INSERT INTO ${BOOKKEEPING_SCHEMA}.triggers
       SELECT tgrelid, tgname, tgenabled FROM pg_catalog.pg_trigger WHERE tgrelid = $1::regclass RETURNING 1 AS noted`,
      [name],
    );
    if (noted.length > 0) {
      await session.query(
        `switch off the triggers of ${tableName(table)}`,
        `ALTER TABLE ONLY ${name} DISABLE TRIGGER ALL`,
      );
    }
  }
}

const CLAUSES: Readonly<Record<string, string>> = {
  O: 'ENABLE',
  D: 'DISABLE',
  R: 'ENABLE REPLICA',
  A: 'ENABLE ALWAYS',
};

/** Gives every recorded trigger its state back. Throws `RESTORE_TRIGGER_STATE` (permanent). */
export async function restoreTriggers(session: Session): Promise<void> {
  const rows = await session.query<{ schema: string; table: string; trigger: string; enabled: string }>(
    'list the noted triggers',
    `SELECT n.nspname AS schema, c.relname AS table, t.trigger, t.enabled
     FROM ${BOOKKEEPING_SCHEMA}.triggers t JOIN pg_catalog.pg_class c ON c.oid = t.relation
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace`,
  );
  for (const { schema, table, trigger, enabled } of rows) {
    const clause = CLAUSES[enabled];
    if (clause === undefined) {
      throw permanent(
        'RESTORE_TRIGGER_STATE',
        `Trigger "${trigger}" of ${schema}.${table} has an unknown state "${enabled}"`,
        'Set its state by hand with ALTER TABLE … ENABLE TRIGGER.',
      );
    }
    const text = `ALTER TABLE ONLY ${quoteTable({ schema, table })} ${clause} TRIGGER ${quoteIdentifier(trigger)}`;
    const work = () => session.query(`restore the state of trigger "${trigger}"`, text);
    if (session.product === 'yugabytedb') await work();
    else await inTransaction(session, () => unseenByEventTriggers(session, work));
  }
}
