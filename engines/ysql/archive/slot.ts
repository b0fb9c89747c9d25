import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError, permanent, transient } from '../../../model/errors.ts';
import { sqlState } from '../server/errors.ts';
import { quoteIdentifier } from '../server/identifiers.ts';
import type { Session } from '../server/session.ts';
import type { ArchiveSource } from './source-kind.ts';
import type { ArchivableTables } from './tables.ts';

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

/** What dropping a slot may wait for. */
interface Patience {
  readonly signal: AbortSignal;
  /** 0: not at all. */
  readonly forMs: number;
  /** Told at once when it begins to wait, and at each look. Throws where waiting has no sense any more. */
  readonly waiting?: (reader: string) => Promise<void>;
}

const IN_USE = '55006';

/**
 * Drops a slot; one that isn't there is no error. While it is read it can't be dropped, and on YugabyteDB for some minutes after its last reader has gone.
 *
 * @throws HoldfastError `ARCHIVE_SLOT_BUSY` (transient) where that takes longer than the caller waits
 */
export async function dropSlot(
  source: ArchiveSource,
  session: Session,
  name: string,
  { signal, forMs, waiting }: Patience,
): Promise<void> {
  const deadline = Date.now() + forMs;
  for (;;) {
    const slot = await source.readSlot(session, name);
    if (slot === undefined) return;
    if (slot.reader === null && (await dropFreeSlot(session, name))) return;
    const reader = slot.reader ?? 'is in use';
    if (Date.now() >= deadline) throw busy(source, name, reader);
    await waiting?.(reader);
    await sleep(source.lookEveryMs, undefined, { signal });
  }
}

/** False where somebody began to read it meanwhile, or the source thinks so. */
async function dropFreeSlot(session: Session, name: string): Promise<boolean> {
  try {
    await session.query(
      `drop replication slot ${name}`,
      'SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots WHERE slot_name = $1',
      [name],
    );
    return true;
  } catch (error) {
    if (error instanceof HoldfastError && sqlState(error.cause) === IN_USE) return false;
    throw error;
  }
}

function busy({ freesSlots }: ArchiveSource, name: string, reader: string): Error {
  return transient(
    'ARCHIVE_SLOT_BUSY',
    `Replication slot ${name} ${reader}`,
    `It is tried again: ${freesSlots}. If another Holdfast archives a plan of the same name there, rename one of the plans.`,
  );
}

export function describeNotArchived({ notArchived }: Pick<ArchivableTables, 'notArchived'>): string {
  if (notArchived.length === 0) return 'it has no table';
  const named = notArchived.slice(0, 5).map(({ table, reason }) => `${table} (${reason})`);
  const more = notArchived.length > 5 ? ` and ${notArchived.length - 5} more` : '';
  return `${named.join(', ')}${more}`;
}
