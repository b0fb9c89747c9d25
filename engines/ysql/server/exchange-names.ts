import { setTimeout as sleep } from 'node:timers/promises';
import { permanent } from '../../../model/errors.ts';
import { crashPoint } from '../../../repository/crash-points.ts';
import { sqlState } from './errors.ts';
import { quoteIdentifier } from './identifiers.ts';
import { requireReplaceable } from './in-the-way.ts';
import {
  closeToSessions,
  databaseExists,
  type NamedDatabases,
  openToSessions,
  sessionsIn,
  terminateEverywhere,
  terminateSessions,
  withMaintenanceSession,
} from './maintenance.ts';
import { listNodes, onEveryNode, type SilentNode } from './nodes.ts';
import type { RestoreNames } from './restore-names.ts';
import { readServer } from './server.ts';
import { inTransaction, type Session } from './session.ts';

/** How long sessions may take to end after `pg_terminate_backend`. */
const PATIENCE_MS = 10_000;
const ASK_EVERY_MS = 100;
const IN_USE = '55006';

/** A database whose names are not exchanged yet. */
interface Pending {
  readonly names: RestoreNames;
  /** Another database has the final name and must be renamed first. */
  readonly inTheWay: boolean;
}

/**
 * Gives the restored databases their final names. With `replace`, a database that has such a name already is kept under the `kept` name.
 * Does nothing for databases that are renamed already. On PostgreSQL all renames are one transaction, so either every database of the
 * restore has its new name or none has.
 *
 * It first closes the databases to be replaced to new sessions, then ends the sessions of all databases once, on every node. YugabyteDB
 * can rename a database while sessions of other nodes stay in it, so there it ends the sessions in the replaced database once more
 * afterwards. Returns one sentence for each thing that it could not verify. Throws `RESTORE_DATABASE_IN_USE` (permanent), which names
 * the remaining sessions; every database is then open again under its old name.
 */
export async function exchangeNames(job: NamedDatabases, replace: boolean): Promise<readonly string[]> {
  return await withMaintenanceSession(job, async (session) => {
    const { product } = await readServer(session);
    const pending: Pending[] = [];
    for (const { names } of job.databases) {
      if (names.working === names.to || !(await databaseExists(session, names.working))) continue;
      pending.push({ names, inTheWay: replace && (await databaseExists(session, names.to)) });
    }
    const after = async () => (product === 'postgresql' ? [] : await endSessionsInKept(job, session));
    if (pending.length === 0) return await after();
    const replaced = pending.filter(({ inTheWay }) => inTheWay).map(({ names }) => names.to);
    for (const name of replaced) await requireReplaceable(session, name);
    try {
      for (const name of replaced) await closeToSessions(session, name);
      crashPoint('exchange-closed');
      await endSessions(job, session, pending);
      const renameAll = async () => {
        for (const one of pending) await rename(session, one);
      };
      await (product === 'postgresql' ? inTransaction(session, renameAll) : renameAll());
    } catch (error) {
      await reopen(session, pending);
      throw inUse(error) ? stillUsed(replaced, error) : error;
    }
    return await after();
  });
}

const ROUNDS = 10;
/** How many polls in a row must find no session. A node may learn of the new name late, and accept a session by the old one until then. */
const QUIET_LOOKS = 2;

/** Ends the sessions in the replaced databases: no client may keep writing there in the belief that it is the restored one. */
async function endSessionsInKept(job: NamedDatabases, session: Session): Promise<readonly string[]> {
  const notes: string[] = [];
  for (const { names } of job.databases) {
    if (!(await databaseExists(session, names.kept))) continue;
    let quiet = 0;
    let silent: readonly SilentNode[] = [];
    for (let round = 1; round <= ROUNDS && quiet < QUIET_LOOKS; round += 1) {
      if (round > 1) await sleep(ASK_EVERY_MS, undefined, { signal: job.context.signal });
      const look = await terminateEverywhere(job, session, names.kept);
      quiet = look.ended === 0 ? quiet + 1 : 0;
      ({ silent } = look);
    }
    if (silent.length > 0) {
      notes.push(
        `${listNodes(silent)} could not be asked: sessions there may go on writing into the replaced database "${names.kept}". End them there (pg_terminate_backend).`,
      );
    }
    if (quiet < QUIET_LOOKS) {
      notes.push(
        `Sessions come back into the replaced database "${names.kept}" all the time: look who names it.`,
      );
    }
  }
  return notes;
}

async function rename(session: Session, { names, inTheWay }: Pending): Promise<void> {
  if (inTheWay) {
    await renameDatabase(session, names.to, names.kept);
    await openToSessions(session, names.kept);
  }
  await renameDatabase(session, names.working, names.to);
}

async function reopen(session: Session, pending: readonly Pending[]): Promise<void> {
  if (session.broken) return;
  for (const { names, inTheWay } of pending) {
    await giveNameBack(session, names);
    if (inTheWay && (await databaseExists(session, names.to))) await openToSessions(session, names.to);
  }
}

/** Terminates the sessions once and waits until they have ended. */
async function endSessions(
  job: NamedDatabases,
  session: Session,
  pending: readonly Pending[],
): Promise<void> {
  const databases = pending.flatMap(({ names, inTheWay }) => [
    names.working,
    ...(inTheWay ? [names.to] : []),
  ]);
  for (const name of databases) await terminateEverywhere(job, session, name);
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const left = (
      await onEveryNode(session, job.target, job.context.signal, (node) => sessionsIn(node, databases))
    ).answers.flat();
    if (left.length === 0) return;
    if (Date.now() > deadline) throw stillUsed(databases, undefined, left);
    await sleep(ASK_EVERY_MS, undefined, { signal: job.context.signal });
  }
}

function inUse(error: unknown): boolean {
  return error instanceof Error && sqlState(error.cause) === IN_USE;
}

function stillUsed(databases: readonly string[], cause?: unknown, sessions: readonly string[] = []): Error {
  const names = databases.map((name) => `"${name}"`).join(', ');
  return permanent(
    'RESTORE_DATABASE_IN_USE',
    `The names were not exchanged, since sessions stay in ${names}: ${sessions.slice(0, 5).join('; ') || 'the server counts some'}`,
    'End them, then rename the databases by hand (ALTER DATABASE … RENAME TO …) or restore again.',
    cause,
  );
}

/**
 * Undoes an exchange of names that began and will not finish, since YugabyteDB renames databases one at a time. Where no database
 * has the final name any more, the one that had it before gets it back.
 */
export async function giveNameBack(session: Session, { to, kept }: RestoreNames): Promise<void> {
  if ((await databaseExists(session, to)) || !(await databaseExists(session, kept))) return;
  await terminateSessions(session, kept);
  await renameDatabase(session, kept, to);
}

async function renameDatabase(session: Session, from: string, to: string): Promise<void> {
  await session.query(
    `rename database "${from}" to "${to}"`,
    `ALTER DATABASE ${quoteIdentifier(from)} RENAME TO ${quoteIdentifier(to)}`,
  );
}
