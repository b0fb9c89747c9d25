import type { LogicalReadPoint } from '../../model/backup.ts';
import { defined } from '../../model/defined.ts';
import { HoldfastError, messageOf, permanent, transient } from '../../model/errors.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import type { OpenReadPoint, VerbContext } from '../engine.ts';
import { isGone, requireAny, selectDatabases, tellGone, tellSkipped } from './databases.ts';
import { lockRoom, maxTablesAtOnce } from './lock-budget.ts';
import { refuseWhatCannotBeCarried } from './refusals.ts';
import { isLockable, readRelations, type Selection, select, takesLock } from './server/catalog.ts';
import type { ConnectionTarget } from './server/connection-url.ts';
import { databaseError, sqlState } from './server/errors.ts';
import { quoteTable, tableName } from './server/identifiers.ts';
import { currentRole, describeRefusal, grantRemedy, refusalOf } from './server/read-time.ts';
import { BEGIN_READING, openReader, withPresent } from './server/reader.ts';
import { readServer, type Server } from './server/server.ts';
import { connect, onlyRow, pinSettings, resolveTarget, type Session } from './server/session.ts';
import { beginPlacing } from './snapshot-place.ts';

/**
 * Pins the read point. On YugabyteDB it is an instant that any session can name again. On PostgreSQL it is one exported snapshot
 * per database, held by a session. That session also locks the tables against DDL, as pg_dump does, where the server has room for
 * all the locks.
 *
 * @param most how many tables may be locked at once; by default what the server has room for
 */
export async function openReadPoint(
  verb: VerbContext,
  source: YsqlSource,
  epoch: number,
  most?: number,
): Promise<OpenReadPoint> {
  const target = await resolveTarget(verb, source.connection);
  const { server, selection, now, role } = await withPresent(
    target,
    target.database,
    verb.signal,
    async (session) => ({
      server: await readServer(session),
      selection: await selectDatabases(session, target, source),
      now: await serverTime(session),
      role: await currentRole(session),
    }),
  );
  tellSkipped(verb, selection);
  const databases = selection.selected;
  const takenAt = new Date(Number(BigInt(now) / 1000n)).toISOString();
  if (server.product === 'postgresql') {
    return await holdSnapshots(verb, target, source, databases, { server, epoch, takenAt, most });
  }
  const readPoint: LogicalReadPoint = { kind: 'yb-read-time', epoch, micros: now, takenAt };
  const refusal = await refusalAt(verb, target, source, databases, readPoint);
  if (refusal === undefined) {
    verb.log('read point pinned as an instant; the history must be kept until the backup ends', {
      readTimeMicros: now,
      retention:
        'timestamp_history_retention_interval_sec, timestamp_syscatalog_history_retention_interval_sec',
    });
    return { readPoint };
  }
  const reason = describeRefusal(refusal, role);
  verb.log('the read point is an exported snapshot instead of an instant', { reason });
  const remedy = refusal === 'denied' ? grantRemedy(role, server) : undefined;
  return await holdSnapshots(verb, target, source, databases, { server, epoch, takenAt, reason, remedy });
}

async function serverTime(session: Session): Promise<string> {
  const rows = await session.query<{ micros: string }>(
    "read the server's clock",
    `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text AS micros`,
  );
  return onlyRow(rows, 'its clock').micros;
}

/**
 * Reads every database at the instant. This checks that the server supports it, that the role may do it, and that no other obstacle
 * to the backup exists. Returns why the instant can't be read, or undefined where it can.
 */
async function refusalAt(
  verb: VerbContext,
  target: ConnectionTarget,
  source: YsqlSource,
  databases: readonly string[],
  readPoint: LogicalReadPoint,
): Promise<ReturnType<typeof refusalOf>> {
  let readable = 0;
  for (const database of databases) {
    let session: Session;
    try {
      session = await openReader(target, database, readPoint, verb.signal);
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal !== undefined) return refusal;
      if (!isGone(error, source, database)) throw error;
      tellGone(verb, database);
      continue;
    }
    readable += 1;
    try {
      await examine(session, source);
    } finally {
      await session.close();
    }
  }
  requireAny(readable);
  return undefined;
}

async function examine(session: Session, source: YsqlSource): Promise<Selection> {
  const selection = await select(session, await readRelations(session), source);
  await refuseWhatCannotBeCarried(session, source, selection);
  return selection;
}

interface Holding {
  readonly server: Server;
  readonly epoch: number;
  readonly takenAt: string;
  /** Why the read point is an exported snapshot and not an instant. */
  readonly reason?: string;
  /** What to do so that an instant can be read. */
  readonly remedy?: string | undefined;
  /** How many tables may be locked at once; undefined: as many as the server has room for. */
  readonly most?: number | undefined;
}

async function holdSnapshots(
  verb: VerbContext,
  target: ConnectionTarget,
  source: YsqlSource,
  databases: readonly string[],
  at: Holding,
): Promise<OpenReadPoint> {
  const holders: Session[] = [];
  const closeAll = async () => {
    await Promise.all(holders.map((holder) => holder.close()));
  };
  try {
    for (const database of databases) {
      let holder: Session;
      try {
        holder = await connect(target, database, verb.signal);
      } catch (error) {
        if (!isGone(error, source, database)) throw error;
        tellGone(verb, database);
        continue;
      }
      holders.push(holder);
    }
    requireAny(holders.length);
    const unlocked = await beyondRoom(holders, source, at);
    if (unlocked.tablesLockedAtOnce !== undefined) {
      verb.log(
        'the tables are more than the server has room for locks: each is locked while it is read',
        unlocked,
      );
    }
    const placing = await beginPlacing(holders, at.server);
    const snapshots: Record<string, string> = {};
    for (const holder of holders) {
      snapshots[holder.database] = await exportSnapshot(
        holder,
        source,
        at,
        at.server.product === 'postgresql' && unlocked.tablesLockedAtOnce === undefined,
      );
    }
    const place = await placing?.end();
    const watch = watchHolders(holders, verb.signal);
    return {
      readPoint: {
        kind: 'pg-snapshot',
        epoch: at.epoch,
        snapshots,
        takenAt: at.takenAt,
        ...defined({ reason: at.reason }),
        ...unlocked,
        ...defined({ place }),
      },
      held: {
        lost: watch.lost,
        async close() {
          watch.stop();
          await closeAll();
        },
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** Returns how many tables and sequences may be locked at once when all databases together have more of them, and an empty object when they don't. */
async function beyondRoom(
  holders: readonly Session[],
  source: YsqlSource,
  { server, most: wanted }: Holding,
): Promise<{ readonly tablesLockedAtOnce?: number }> {
  const [first] = holders;
  // YugabyteDB's holders lock nothing.
  if (first === undefined || server.product === 'yugabytedb') return {};
  const most = wanted ?? maxTablesAtOnce(await lockRoom(first));
  let relations = 0;
  for (const holder of holders) {
    const { read } = await select(holder, await readRelations(holder), source);
    relations += read.filter(takesLock).length;
  }
  return relations <= most ? {} : { tablesLockedAtOnce: most };
}

const LOCK_ROUNDS = 5;
const TABLES_PER_LOCK_STATEMENT = 200;

/**
 * Locks the tables first and exports the snapshot then. Otherwise a table could be truncated or rewritten between the snapshot and its
 * lock, which an older snapshot would not notice. The snapshot may show tables that were created between listing and locking; then it
 * locks once more. Where the server has no room for so many locks, the reader of each table looks for such changes
 * (`slices/unlocked-tables.ts`).
 */
async function exportSnapshot(
  holder: Session,
  source: YsqlSource,
  at: Holding,
  locksAll: boolean,
): Promise<string> {
  let surprise = 'tables';
  for (let round = 1; round <= LOCK_ROUNDS; round += 1) {
    const before = await examine(holder, source);
    await holder.query('begin to hold a snapshot', BEGIN_READING);
    const locked = locksAll ? await lockTables(holder, before) : new Set<string>();
    if (locked !== undefined) {
      const snapshot = await exportedSnapshot(holder, at);
      await pinSettings(holder);
      const after = await examine(holder, source);
      const unlocked = after.read.filter((relation) => isLockable(relation) && !locked.has(relation.oid));
      if (unlocked.length === 0 || !locksAll) return snapshot;
      surprise = unlocked.map(tableName).join(', ');
    }
    await holder.query('roll back', 'ROLLBACK');
  }
  throw transient(
    'YSQL_SCHEMA_CHANGES',
    `Tables of database "${holder.database}" are created or dropped faster than they can be locked (${surprise})`,
    'Back up while no DDL runs, or exclude the tables that come and go.',
  );
}

/** Locks the selected tables and returns their object ids, or undefined when a table was dropped meanwhile. */
async function lockTables(holder: Session, selection: Selection): Promise<Set<string> | undefined> {
  const tables = selection.read.filter(isLockable);
  for (let at = 0; at < tables.length; at += TABLES_PER_LOCK_STATEMENT) {
    const names = tables
      .slice(at, at + TABLES_PER_LOCK_STATEMENT)
      .map((table) => `ONLY ${quoteTable(table)}`);
    try {
      await holder.query(
        'lock the tables against DDL',
        `LOCK TABLE ${names.join(', ')} IN ACCESS SHARE MODE`,
      );
    } catch (error) {
      const state = error instanceof Error ? sqlState(error.cause) : undefined;
      if (state === '42P01' || state === '3F000') return undefined;
      throw error;
    }
  }
  return new Set(tables.map(({ oid }) => oid));
}

async function exportedSnapshot(holder: Session, { server, reason, remedy }: Holding): Promise<string> {
  try {
    const rows = await holder.query<{ id: string }>('export a snapshot', 'SELECT pg_export_snapshot() AS id');
    return onlyRow(rows, 'the exported snapshot').id;
  } catch (error) {
    if (server.product !== 'yugabytedb' || (error instanceof HoldfastError && error.transient)) throw error;
    const flag = 'set the flag ysql_enable_pg_export_snapshot on all nodes (on by default from 2025.2.2)';
    // The PostgreSQL 11 line (up to 2024.2) has no such flag.
    const exporting = server.major < 15 ? `upgrade to 2025.1 or newer and ${flag}` : flag;
    throw permanent(
      'YSQL_NO_READ_POINT',
      `YugabyteDB ${server.version} offers no consistent read point: ${reason}, and ${messageOf(error)}`,
      `${remedy === undefined ? 'To' : `${remedy} Or, to`} export snapshots, ${exporting}.`,
      error,
    );
  }
}

const WATCH_EVERY_MS = 5_000;
const ANSWER_WITHIN_MS = 20_000;

/** Watches the sessions that hold the snapshots. `lost` rejects when one of them ends or stops answering, because its snapshot is gone then. */
function watchHolders(
  holders: readonly Session[],
  signal: AbortSignal,
): { readonly lost: Promise<never>; stop(): void } {
  const { promise: lost, reject } = Promise.withResolvers<never>();
  // The caller may no longer wait; an unhandled rejection must not end the worker.
  lost.catch(() => undefined);
  let asking = false;
  const timer = setInterval(async () => {
    if (asking) return;
    asking = true;
    try {
      await Promise.all(holders.map((holder) => answers(holder)));
    } catch (error) {
      reject(lostHolder(error, signal));
    } finally {
      asking = false;
    }
  }, WATCH_EVERY_MS);
  for (const holder of holders) void holder.lost.then((error) => reject(lostHolder(error, signal)));
  return { lost, stop: () => clearInterval(timer) };
}

async function answers(holder: Session): Promise<void> {
  const { promise: silence, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('Connection terminated: no answer')), ANSWER_WITHIN_MS);
  try {
    await Promise.race([holder.query('watch the snapshot', 'SELECT 1'), silence]);
  } finally {
    clearTimeout(timer);
  }
}

function lostHolder(error: unknown, signal: AbortSignal): unknown {
  return databaseError(error, "keep the read point: its holder's session ended", { signal });
}
