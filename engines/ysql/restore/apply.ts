import { permanent } from '../../../model/errors.ts';
import { BOOKKEEPING_SCHEMA } from '../server/bookkeeping-schema.ts';
import type { DumpEntry } from '../server/dump-script.ts';
import { existingRoles } from '../server/roles.ts';
import { readServer } from '../server/server.ts';
import { inTransaction, type Session } from '../server/session.ts';
import { existingTablespaces, withKnownTablespace } from '../server/tablespaces.ts';
import { adapted, type TextAdaptation } from './adapted.ts';
import { claim } from './bookkeeping.ts';
import {
  applyAgain,
  applyForgivingly,
  doingOf,
  type EntryWork,
  type Forgiveness,
  forgivenessOf,
  isThereAlready,
  settle,
  withWayOut,
} from './forgiving.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';

/** How entries are changed on their way to this server. */
export interface Adaptation extends TextAdaptation {
  readonly tablespaces: ReadonlySet<string>;
  readonly forgives: Forgiveness;
  /** True: only what was left out is tried, once more. */
  readonly again?: true;
  /**
   * Whether a change of the schema can be undone with its transaction. Else (YugabyteDB) each statement is sent by itself, outside of
   * any transaction: savepoints are refused beside DDL (yugabyte-db issues 26734, 31810), and CREATE INDEX in a text of several
   * statements is built without backfill (upstream utility.c, `isTopLevel`).
   */
  readonly transactionalDdl: boolean;
  readonly log: (message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/** Reads what adapting needs to know of the target server. */
export async function readAdaptation(
  job: RestoreJob,
  database: DatabaseJob,
  session: Session,
): Promise<Adaptation> {
  return {
    owner: job.context.request.owner,
    placement: job.context.request.placement ?? 'source',
    roles: await existingRoles(session),
    tablespaces: await existingTablespaces(session),
    forgives: forgivenessOf(job, database),
    transactionalDdl: (await readServer(session)).product === 'postgresql',
    log: job.context.log,
  };
}

/**
 * Runs an entry's statements: in the session's transaction, or one by one where that is no help.
 *
 * @param mayBeThere whether what is there already, from an attempt that was cut off, counts as done
 */
export async function applyEntry(
  session: Session,
  entry: DumpEntry,
  adaptation: Adaptation,
  mayBeThere = false,
): Promise<void> {
  const statements = adapted(entry, adaptation);
  if (statements.length === 0) return;
  const settings = entry.settings.map((setting) => withKnownTablespace(setting, adaptation.tablespaces));
  const isInTransaction = adaptation.transactionalDdl;
  const work: EntryWork = {
    ...adaptation,
    session,
    entry,
    settings,
    statements,
    isInTransaction,
    mayBeThere,
  };
  if (adaptation.again === true) return await applyAgain(work);
  if (adaptation.forgives !== 'nothing') return await applyForgivingly(work);
  try {
    if (isInTransaction) {
      const texts = statements.map(({ text }) => text);
      await session.query(doingOf(entry), [...settings, ...texts].join('\n'));
    } else {
      await applyOneByOne(work);
    }
  } catch (error) {
    throw withWayOut(session, error);
  }
}

async function applyOneByOne(work: EntryWork): Promise<void> {
  const { session, entry, statements, mayBeThere } = work;
  await settle(work);
  for (const statement of statements) {
    try {
      await session.query(doingOf(entry), statement.text);
    } catch (error) {
      if (!mayBeThere || !(await isThereAlready(session, statement, error))) throw error;
    }
  }
}

/**
 * Applies entries as one unit: in one transaction with its mark, so that a retry finds it done or not begun. YugabyteDB's DDL may
 * outlive a transaction that was cut off, so there a retry takes "already exists" for done, entry by entry.
 */
export async function applyUnit(
  session: Session,
  unit: string,
  entries: readonly DumpEntry[],
  adaptation: Adaptation,
  options: { readonly transactionalDdl: boolean; readonly lockTables: readonly string[] },
): Promise<void> {
  if (!options.transactionalDdl) return await applyWithoutTransaction(session, unit, entries, adaptation);
  await inTransaction(session, async () => {
    if (!(await claim(session, { unit }))) return;
    await session.query('wait for locks as long as it takes', 'SET LOCAL lock_timeout = 0');
    if (options.lockTables.length > 0) {
      await session.query(
        'lock the tables of a foreign key',
        `LOCK TABLE ${options.lockTables.join(', ')} IN SHARE ROW EXCLUSIVE MODE`,
      );
    }
    for (const entry of entries) await applyEntry(session, entry, adaptation);
  });
}

async function applyWithoutTransaction(
  session: Session,
  unit: string,
  entries: readonly DumpEntry[],
  adaptation: Adaptation,
): Promise<void> {
  const [done] = await session.query<{ there: boolean }>(
    'look whether the unit is applied',
    `SELECT EXISTS (SELECT FROM ${BOOKKEEPING_SCHEMA}.applied WHERE unit = $1) AS there`,
    [unit],
  );
  if (done === undefined)
    throw permanent('YSQL_NO_ROW', 'EXISTS returned no row', 'Check that the server is YSQL.');
  if (done.there) return;
  for (const entry of entries) await applyEntry(session, entry, adaptation, true);
  await claim(session, { unit });
}
