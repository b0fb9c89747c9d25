import { HoldfastError, permanent } from '../../../model/errors.ts';
import type { DumpEntry } from '../dump-script.ts';
import { sqlState } from '../errors.ts';
import { quoteTable } from '../identifiers.ts';
import { isOfTablegroup, withoutPlacement } from '../placement.ts';
import { readServer } from '../server.ts';
import { inTransaction, type Session } from '../session.ts';
import type { Statement } from '../sql-text.ts';
import { BOOKKEEPING_SCHEMA, claim } from './bookkeeping.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';
import { existingRoles, withOwner, withoutMissingRoles } from './roles.ts';
import { tableOfAlter } from './selection.ts';
import { existingTablespaces, withKnownTablespace } from './tablespaces.ts';

/** How entries are changed on their way to this server. */
export interface Adaptation {
  readonly owner: string | undefined;
  readonly roles: ReadonlySet<string>;
  readonly tablespaces: ReadonlySet<string>;
  /** Whether tables are split and kept together as at the source, or as the target does by itself. */
  readonly placement: 'source' | 'target';
  /** Entries that need an unselected table may fail and are then left out. */
  readonly partial: boolean;
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
    partial: !database.selection.all,
    transactionalDdl: (await readServer(session)).product === 'postgresql',
    log: job.context.log,
  };
}

/** SQLSTATEs of "what this needs isn't there": undefined table, column, function, object, schema. */
const MISSING_NEED = new Set(['42P01', '42703', '42883', '42704', '3F000', '42P17', '42809']);

/** Runs an entry's statements: in the session's transaction, or one by one where that is no help. */
export async function applyEntry(session: Session, entry: DumpEntry, adaptation: Adaptation): Promise<void> {
  if (!adaptation.transactionalDdl) return await applyOneByOne(session, entry, adaptation, false);
  const statements = adapted(entry, adaptation);
  if (statements.length === 0) return;
  const text = [...settingsOf(entry, adaptation), ...statements.map(({ text: sql }) => sql)].join('\n');
  if (!adaptation.partial) {
    await session.query(doing(entry), text);
    return;
  }
  await session.query('set a savepoint', 'SAVEPOINT entry');
  try {
    await session.query(doing(entry), text);
    await session.query('release the savepoint', 'RELEASE SAVEPOINT entry');
  } catch (error) {
    leaveOut(entry, error, adaptation);
    await session.query('roll back to the savepoint', 'ROLLBACK TO SAVEPOINT entry');
  }
}

/** Each setting and each statement by itself. @param again whether what is there already, from an attempt that was cut off, counts as done. */
async function applyOneByOne(
  session: Session,
  entry: DumpEntry,
  adaptation: Adaptation,
  again: boolean,
): Promise<void> {
  const statements = adapted(entry, adaptation);
  if (statements.length === 0) return;
  for (const setting of settingsOf(entry, adaptation)) {
    await session.query(`set what holds for ${entry.type} ${entry.name}`, setting);
  }
  for (const statement of statements) {
    try {
      await session.query(doing(entry), statement.text);
    } catch (error) {
      if (again && (await isThere(session, statement, error))) continue;
      leaveOut(entry, error, adaptation);
    }
  }
}

function doing({ type, schema, name }: DumpEntry): string {
  return `create ${type} ${schema === undefined ? '' : `${schema}.`}${name}`;
}

function settingsOf({ settings }: DumpEntry, { tablespaces }: Adaptation): readonly string[] {
  return settings.map((setting) => withKnownTablespace(setting, tablespaces));
}

/** Tells of an entry that needs an unselected table; throws everything else. */
function leaveOut(entry: DumpEntry, error: unknown, { partial, log }: Adaptation): void {
  const state = stateOf(error);
  const isNeed = state !== undefined && MISSING_NEED.has(state);
  if (!partial || entry.type === 'TABLE' || !isNeed) throw error;
  log(`left out ${entry.type} ${entry.name}: it needs what is not selected`, { sqlState: state });
}

function stateOf(error: unknown): string | undefined {
  return error instanceof HoldfastError ? sqlState(error.cause) : undefined;
}

/** A statement as it is run on this server. */
export interface Adapted {
  readonly text: string;
  readonly tokens: Statement['tokens'];
}

/** The statements of an entry as they are run on this server. Pure. */
export function adapted(entry: DumpEntry, { owner, roles, placement }: Adaptation): readonly Adapted[] {
  if (placement === 'target' && isOfTablegroup(entry)) return [];
  const statements = owner === undefined ? entry.statements : withoutMissingRoles(entry, roles);
  return statements.map((statement) => ({
    text:
      placement === 'target'
        ? withOwner({ ...statement, text: withoutPlacement(statement) }, owner)
        : withOwner(statement, owner),
    tokens: statement.tokens,
  }));
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

/** SQLSTATE of `index "x" is already associated with a constraint`, and of much else. */
const NOT_IN_STATE = '55000';

/** Whether what a statement creates was there, so that its error says that it is done. */
async function isThere(session: Session, { tokens }: Adapted, error: unknown): Promise<boolean> {
  const state = stateOf(error);
  if (state === undefined) return false;
  if (ALREADY_THERE.has(state)) return true;
  if (state !== NOT_IN_STATE) return false;
  const table = tableOfAlter(tokens);
  const constraint = tokens.findIndex(
    ({ text }, at) => text === 'constraint' && tokens[at - 1]?.text === 'add',
  );
  const name = tokens[constraint + 1]?.text;
  if (table === undefined || constraint < 0 || name === undefined) return false;
  const [found] = await session.query<{ there: boolean }>(
    `look for constraint ${name}`,
    'SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conrelid = to_regclass($1) AND conname = $2) AS there',
    [quoteTable(table), name],
  );
  return found?.there === true;
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
  for (const entry of entries) await applyOneByOne(session, entry, adaptation, true);
  await claim(session, { unit });
}
