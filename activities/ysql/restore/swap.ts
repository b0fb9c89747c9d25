import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, transient } from '../../../model/errors.ts';
import { sqlState } from '../errors.ts';
import { quoteIdentifier } from '../identifiers.ts';
import { listNodes, type SilentNode } from '../nodes.ts';
import { readServer } from '../server.ts';
import { inTransaction, type Session } from '../session.ts';
import { closeRestoreSessions } from './bookkeeping.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';
import {
  databaseExists,
  type NamedDatabases,
  terminateEverywhere,
  terminateSessions,
  withMaintenanceSession,
} from './maintenance.ts';
import type { RestoreNames } from './names.ts';

const ROUNDS = 10;
const ROUND_PAUSE_MS = 200;
const IN_USE = '55006';

export interface Exchange {
  /** What the replaced database is called now. */
  readonly kept?: string;
  /** What could not be made sure of, a sentence each. */
  readonly remarks?: readonly string[];
}

/** As `exchangeNames`, once nothing of this worker works in the database any more. */
export async function takeFinalName(job: RestoreJob, database: DatabaseJob): Promise<Exchange> {
  await closeRestoreSessions(job, database);
  return await exchangeNames(job, database.names, job.context.request.replace);
}

/**
 * Gives the restored database its final name; with `replace` one that has it already keeps its data under the `kept` name. Does
 * nothing where that has happened before. On PostgreSQL both renames are one transaction. On YugabyteDB other nodes' sessions stay in
 * a database that is renamed, under them, so those in the replaced one are ended afterwards, on every node.
 */
export async function exchangeNames(
  job: NamedDatabases,
  names: RestoreNames,
  replace: boolean,
): Promise<Exchange> {
  return await withMaintenanceSession(job, async (session) => {
    const { product } = await readServer(session);
    const replaced = async () => {
      if (!(await databaseExists(session, names.kept))) return {};
      if (product === 'postgresql') return { kept: names.kept };
      return { kept: names.kept, ...(await endSessionsInKept(job, session, names.kept)) };
    };
    if (names.working === names.to || !(await databaseExists(session, names.working)))
      return await replaced();
    let failure: unknown;
    for (let round = 1; round <= ROUNDS; round += 1) {
      const inTheWay = replace && (await databaseExists(session, names.to));
      await terminateEverywhere(job, session, names.working);
      if (inTheWay) await terminateEverywhere(job, session, names.to);
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

/** So many looks in a row must find nobody: a node may learn of the new name a moment later, and let somebody in by the old one. */
const QUIET_LOOKS = 2;

/** Nobody may go on writing into the replaced database and take it for the restored one. */
async function endSessionsInKept(
  job: NamedDatabases,
  session: Session,
  kept: string,
): Promise<Pick<Exchange, 'remarks'>> {
  let quiet = 0;
  let silent: readonly SilentNode[] = [];
  for (let round = 1; round <= ROUNDS && quiet < QUIET_LOOKS; round += 1) {
    if (round > 1) await sleep(ROUND_PAUSE_MS, undefined, { signal: job.context.signal });
    const look = await terminateEverywhere(job, session, kept);
    quiet = look.ended === 0 ? quiet + 1 : 0;
    ({ silent } = look);
  }
  const remarks = [
    ...(silent.length === 0
      ? []
      : [
          `${listNodes(silent)} could not be asked: sessions there may go on writing into the replaced database "${kept}". End them there (pg_terminate_backend)`,
        ]),
    ...(quiet >= QUIET_LOOKS
      ? []
      : [`Sessions come back into the replaced database "${kept}" all the time: look who names it`]),
  ];
  return remarks.length === 0 ? {} : { remarks };
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
