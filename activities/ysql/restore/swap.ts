import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, transient } from '../../../model/errors.ts';
import { sqlState } from '../errors.ts';
import { quoteIdentifier } from '../identifiers.ts';
import { readServer } from '../server.ts';
import { inTransaction, type Session } from '../session.ts';
import { closeRestoreSessions } from './bookkeeping.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';
import {
  databaseExists,
  type NamedDatabases,
  terminateSessions,
  withMaintenanceSession,
} from './maintenance.ts';
import type { RestoreNames } from './names.ts';

const ROUNDS = 10;
const ROUND_PAUSE_MS = 200;
const IN_USE = '55006';

/** As `exchangeNames`, once nothing of this worker works in the database any more. */
export async function takeFinalName(
  job: RestoreJob,
  database: DatabaseJob,
): Promise<{ readonly kept?: string }> {
  await closeRestoreSessions(job, database);
  return await exchangeNames(job, database.names, job.context.request.replace);
}

/**
 * Gives the restored database its final name; with `replace` one that has it already keeps its data under the `kept` name. Does
 * nothing where that has happened before. On PostgreSQL both renames are one transaction.
 */
export async function exchangeNames(
  job: NamedDatabases,
  names: RestoreNames,
  replace: boolean,
): Promise<{ readonly kept?: string }> {
  return await withMaintenanceSession(job, async (session) => {
    const { product } = await readServer(session);
    const replaced = async () => ((await databaseExists(session, names.kept)) ? { kept: names.kept } : {});
    if (names.working === names.to || !(await databaseExists(session, names.working)))
      return await replaced();
    let failure: unknown;
    for (let round = 1; round <= ROUNDS; round += 1) {
      const inTheWay = replace && (await databaseExists(session, names.to));
      await terminateSessions(session, names.working);
      if (inTheWay) await terminateSessions(session, names.to);
      const rename = async () => {
        if (inTheWay) await renameDatabase(session, names.to, names.kept);
        await renameDatabase(session, names.working, names.to);
      };
      try {
        await (product === 'postgresql' ? inTransaction(session, rename) : rename());
        return await replaced();
      } catch (error) {
        if (!(error instanceof Error) || sqlState(error.cause) !== IN_USE) throw error;
        failure = error;
      }
      await sleep(ROUND_PAUSE_MS, undefined, { signal: job.context.signal });
    }
    throw transient(
      'RESTORE_DATABASE_IN_USE',
      `Database "${names.to}" can't change its name, since sessions connect to it all the time: ${messageOf(failure)}`,
      'Stop the applications that use it, or forbid connections meanwhile (ALTER DATABASE … ALLOW_CONNECTIONS false).',
      failure,
    );
  });
}

/**
 * Undoes what an exchange of names has begun and will not end, as YugabyteDB renames one database at a time: where nothing has the
 * final name any more, what was there before gets it back.
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
