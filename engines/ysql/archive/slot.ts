import { setTimeout as sleep } from 'node:timers/promises';
import { permanent, transient } from '../../../model/errors.ts';
import { quoteIdentifier } from '../server/identifiers.ts';
import { onlyRow, type Session } from '../server/session.ts';
import { readSlot, requireLsn, type Slot } from './server-state.ts';
import type { ArchivableTables } from './tables.ts';

/** `pgoutput`, the decoding plugin that each PostgreSQL has. */
export const PLUGIN = 'pgoutput';

/**
 * Makes the publication anew, of exactly the tables that have a replica identity, each by name: a publication of all tables, or of a
 * partitioned table, would come to publish tables without identity, and break the application's updates of them.
 */
export async function createPublication(
  session: Session,
  name: string,
  tables: ArchivableTables,
): Promise<void> {
  if (tables.quoted.length === 0) {
    const mend = tables.notArchived.flatMap(({ sql }) => sql ?? []).slice(0, 5);
    throw permanent(
      'ARCHIVE_NO_TABLE',
      `No table of database "${session.database}" can be archived: ${describeNotArchived(tables)}`,
      mend.length === 0
        ? 'Let the plan name tables that can be, or remove pointTime.archive.'
        : `Run ${mend.join(' ')} or give the tables primary keys; or remove pointTime.archive.`,
    );
  }
  await dropPublication(session, name);
  const list = tables.quoted.map((table) => `ONLY ${table}`).join(', ');
  await session.query(
    `create publication ${name} in database "${session.database}"`,
    `CREATE PUBLICATION ${quoteIdentifier(name)} FOR TABLE ${list} WITH (publish = 'insert, update, delete, truncate')`,
  );
}

export async function dropPublication(session: Session, name: string): Promise<void> {
  await session.query(
    `drop publication ${name} of database "${session.database}"`,
    `DROP PUBLICATION IF EXISTS ${quoteIdentifier(name)}`,
  );
}

/** Returns the position from which on the slot has every transaction whole. Waits until those that run now have ended. */
export async function createSlot(session: Session, name: string): Promise<string> {
  const rows = await session.query<{ lsn: string }>(
    `create replication slot ${name}`,
    `SELECT lsn::text AS lsn FROM pg_catalog.pg_create_logical_replication_slot($1, '${PLUGIN}')`,
    [name],
  );
  return requireLsn(onlyRow(rows, 'the replication slot').lsn);
}

/** A slot that isn't there is no error. Throws `ARCHIVE_SLOT_BUSY` (transient) while a process reads it. */
export async function dropSlot(session: Session, name: string): Promise<void> {
  const slot = await readSlot(session, name);
  if (slot === undefined) return;
  refuseBusy(slot, name);
  await session.query(
    `drop replication slot ${name}`,
    'SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots WHERE slot_name = $1',
    [name],
  );
}

/** A server notices that a stream was closed when it next reads or writes there, later where it is busy. */
const FREE_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 50;

/** Drops the slot of a stream that has just been closed, once the server has noticed. Throws as `dropSlot` where that takes too long. */
export async function dropClosedSlot(session: Session, name: string, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + FREE_WITHIN_MS;
  while ((await readSlot(session, name))?.activePid != null && Date.now() < deadline) {
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
  await dropSlot(session, name);
}

export function refuseBusy(slot: Slot, name: string): void {
  if (slot.activePid === null) return;
  throw transient(
    'ARCHIVE_SLOT_BUSY',
    `Replication slot ${name} is being read by process ${slot.activePid} of the source`,
    'It is tried again: a connection that was cut ends within wal_sender_timeout. If another Holdfast archives a plan of the same name there, rename one of the plans.',
  );
}

export function describeNotArchived({ notArchived }: Pick<ArchivableTables, 'notArchived'>): string {
  if (notArchived.length === 0) return 'it has no table';
  const named = notArchived.slice(0, 5).map(({ table, reason }) => `${table} (${reason})`);
  const more = notArchived.length > 5 ? ` and ${notArchived.length - 5} more` : '';
  return `${named.join(', ')}${more}`;
}
