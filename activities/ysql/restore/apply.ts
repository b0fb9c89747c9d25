import { HoldfastError, permanent } from '../../../model/errors.ts';
import type { DumpEntry } from '../dump-script.ts';
import { sqlState } from '../errors.ts';
import { inTransaction, type Session } from '../session.ts';
import { BOOKKEEPING_SCHEMA, claim } from './bookkeeping.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';
import { existingRoles, withOwner, withoutMissingRoles } from './roles.ts';
import { existingTablespaces, withKnownTablespace } from './tablespaces.ts';

/** How entries are changed on their way to this server. */
export interface Adaptation {
  readonly owner: string | undefined;
  readonly roles: ReadonlySet<string>;
  readonly tablespaces: ReadonlySet<string>;
  /** Entries that need an unselected table may fail and are then left out. */
  readonly partial: boolean;
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
    partial: !database.selection.all,
    log: job.context.log,
  };
}

/** SQLSTATEs of "what this needs isn't there": undefined table, column, function, object, schema. */
const MISSING_NEED = new Set(['42P01', '42703', '42883', '42704', '3F000', '42P17', '42809']);

/** Runs an entry's statements in the session's transaction. */
export async function applyEntry(session: Session, entry: DumpEntry, adaptation: Adaptation): Promise<void> {
  const statements = adapted(entry, adaptation);
  if (statements.length === 0) return;
  const doing = `create ${entry.type} ${entry.schema === undefined ? '' : `${entry.schema}.`}${entry.name}`;
  const text = [
    ...entry.settings.map((setting) => withKnownTablespace(setting, adaptation.tablespaces)),
    ...statements,
  ].join('\n');
  if (!adaptation.partial) {
    await session.query(doing, text);
    return;
  }
  await session.query('set a savepoint', 'SAVEPOINT entry');
  try {
    await session.query(doing, text);
    await session.query('release the savepoint', 'RELEASE SAVEPOINT entry');
  } catch (error) {
    const state = error instanceof HoldfastError ? sqlState(error.cause) : undefined;
    if (entry.type === 'TABLE' || state === undefined || !MISSING_NEED.has(state)) throw error;
    await session.query('roll back to the savepoint', 'ROLLBACK TO SAVEPOINT entry');
    adaptation.log(`left out ${entry.type} ${entry.name}: it needs what is not selected`, {
      sqlState: state,
    });
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

/** SQLSTATEs of "already exists": table or index, object, schema, function, constraint; and a second primary key. */
const ALREADY_THERE = new Set(['42P07', '42710', '42P06', '42723', '42P16']);

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
    for (const statement of adapted(entry, adaptation)) {
      const text = [
        ...entry.settings.map((setting) => withKnownTablespace(setting, adaptation.tablespaces)),
        statement,
      ].join('\n');
      try {
        await session.query(`create ${entry.type} ${entry.name}`, text);
      } catch (error) {
        const state = error instanceof HoldfastError ? sqlState(error.cause) : undefined;
        if (state === undefined) throw error;
        if (ALREADY_THERE.has(state)) continue;
        if (!adaptation.partial || entry.type === 'TABLE' || !MISSING_NEED.has(state)) throw error;
        adaptation.log(`left out ${entry.type} ${entry.name}: it needs what is not selected`, {
          sqlState: state,
        });
      }
    }
  }
  await claim(session, { unit });
}
