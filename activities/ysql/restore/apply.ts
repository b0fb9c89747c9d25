import { permanent } from '../../../model/errors.ts';
import type { DumpEntry } from '../dump-script.ts';
import { inTransaction, type Session } from '../session.ts';
import { BOOKKEEPING_SCHEMA, claim } from './bookkeeping.ts';
import {
  applyAgain,
  applyForgivingly,
  doingOf,
  type EntryWork,
  type Forgiveness,
  forgivenessOf,
  isThereAlready,
  withWayOut,
} from './forgiving.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';
import { existingRoles, withOwner, withoutMissingRoles } from './roles.ts';
import { existingTablespaces, withKnownTablespace } from './tablespaces.ts';

/** How entries are changed on their way to this server. */
export interface Adaptation {
  readonly owner: string | undefined;
  readonly roles: ReadonlySet<string>;
  readonly tablespaces: ReadonlySet<string>;
  readonly forgives: Forgiveness;
  /** True: only what was left out is tried, once more. */
  readonly again?: true;
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
    roles: await existingRoles(session),
    tablespaces: await existingTablespaces(session),
    forgives: forgivenessOf(job, database),
    log: job.context.log,
  };
}

/** Runs an entry's statements in the session's transaction. */
export async function applyEntry(session: Session, entry: DumpEntry, adaptation: Adaptation): Promise<void> {
  const statements = adapted(entry, adaptation);
  if (statements.length === 0) return;
  const settings = entry.settings.map((setting) => withKnownTablespace(setting, adaptation.tablespaces));
  const work: EntryWork = { session, entry, settings, statements, isInTransaction: true, ...adaptation };
  if (adaptation.again === true) return await applyAgain(work);
  if (adaptation.forgives !== 'nothing') return await applyForgivingly(work);
  try {
    await session.query(doingOf(entry), [...settings, ...statements].join('\n'));
  } catch (error) {
    throw withWayOut(session, error);
  }
}

/** The texts of an entry's statements as they are run on this server. Pure. */
export function adapted(entry: DumpEntry, { owner, roles }: Adaptation): readonly string[] {
  const statements = owner === undefined ? entry.statements : withoutMissingRoles(entry, roles);
  return statements.map((statement) => withOwner(statement, owner));
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
  for (const entry of entries) {
    const statements = adapted(entry, adaptation);
    const settings = entry.settings.map((setting) => withKnownTablespace(setting, adaptation.tablespaces));
    const work: EntryWork = { session, entry, settings, statements, isInTransaction: false, ...adaptation };
    if (adaptation.again === true) {
      await applyAgain(work);
      continue;
    }
    if (adaptation.forgives !== 'nothing') {
      await applyForgivingly(work);
      continue;
    }
    for (const statement of statements) {
      try {
        await session.query(doingOf(entry), [...settings, statement].join('\n'));
      } catch (error) {
        if (!isThereAlready(error)) throw withWayOut(session, error);
      }
    }
  }
  await claim(session, { unit });
}
