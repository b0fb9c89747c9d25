import type { LeftOut } from '../../../model/backup.ts';
import { HoldfastError } from '../../../model/errors.ts';
import type { DumpEntry } from '../server/dump-script.ts';
import { sqlState } from '../server/errors.ts';
import { quoteTable } from '../server/identifiers.ts';
import type { Session } from '../server/session.ts';
import type { Adapted } from './adapted.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';
import { forgetLeftOut, isLeftOut, noteLeftOut } from './left-out.ts';
import { tableOfAlter } from './selection.ts';

/**
 * What a restore may leave out: `nothing`; `unselected`: objects that need a table which wasn't selected; `errors`: any object
 * that the server refuses, as pg_restore does.
 */
export type Forgiveness = 'nothing' | 'unselected' | 'errors';

/** Returns what the request lets the restore of this database leave out. */
export function forgivenessOf({ context }: Pick<RestoreJob, 'context'>, database: DatabaseJob): Forgiveness {
  if (context.request.tolerate === true) return 'errors';
  return database.selection.all ? 'nothing' : 'unselected';
}

/** One entry of the dump to apply to the database. */
export interface EntryWork {
  readonly session: Session;
  readonly entry: DumpEntry;
  /** Run before each statement. */
  readonly settings: readonly string[];
  readonly statements: readonly Adapted[];
  /** False where every statement is its own transaction. */
  readonly isInTransaction: boolean;
  /** True: an object that an interrupted attempt has created already counts as done. */
  readonly mayBeThere: boolean;
  readonly forgives: Forgiveness;
  readonly log: (message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/**
 * Runs an entry's statements, and records those that the server refuses, if that is forgiven. It runs all of them together first.
 * If that fails it runs them one by one, as pg_restore does with an object and its owner.
 */
export async function applyForgivingly(work: EntryWork): Promise<void> {
  const { statements } = work;
  if (work.isInTransaction && statements.length > 1) {
    if ((await attempt(work, statements)) === undefined) return;
  }
  for (const [place, statement] of statements.entries()) {
    const error = await attempt(work, [statement]);
    if (error === undefined) continue;
    if (isReported(work, statement.text, error) || (await addedNotValid(work, statement, error))) continue;
    const { text } = statement;
    await note(work, text, error, staysNotValid(text, error) ? { instead: 'NOT VALID' } : {});
    // The next statements are about the object that was not created.
    if (place === 0 && /^create\b/i.test(text)) return;
  }
}

/** Retries an entry that was left out as a whole: what it needs may exist by now, such as the rows of a view. */
export async function applyAgain(work: EntryWork): Promise<void> {
  const [first] = work.statements;
  if (first === undefined) return;
  const item = { kind: work.entry.type, name: nameOf(work.entry), sql: first.text };
  if (!(await isLeftOut(work.session, item))) return;
  if ((await attempt(work, [first])) !== undefined) return;
  await forgetLeftOut(work.session, item);
  await applyForgivingly({ ...work, statements: work.statements.slice(1) });
}

/** Runs statements together; outside of a transaction the caller passes only one. Returns the error when it is forgiven. */
async function attempt(work: EntryWork, statements: readonly Adapted[]): Promise<HoldfastError | undefined> {
  const { session, isInTransaction, mayBeThere } = work;
  const text = statements.map((statement) => statement.text).join('\n');
  if (isInTransaction) await session.query('set a savepoint', 'SAVEPOINT entry');
  try {
    if (isInTransaction) {
      await session.query(doingOf(work.entry), [...work.settings, text].join('\n'));
    } else {
      await settle(work);
      await session.query(doingOf(work.entry), text);
    }
  } catch (error) {
    const [only] = statements;
    if (mayBeThere && only !== undefined && (await isThereAlready(session, only, error))) return undefined;
    if (!isStatementsOwn(session, error) || !isForgiven(work, error)) throw error;
    if (isInTransaction) await session.query('roll back to the savepoint', 'ROLLBACK TO SAVEPOINT entry');
    return error;
  }
  if (isInTransaction) await session.query('release the savepoint', 'RELEASE SAVEPOINT entry');
  return undefined;
}

/** SQLSTATEs for a missing dependency: undefined table, column, function, object, schema. */
const MISSING_NEED = new Set(['42P01', '42703', '42883', '42704', '3F000', '42P17', '42809']);

/** SQLSTATEs that don't concern the statement itself: another transaction, a full disk, a server that shuts down, a cancellation. */
const PASSING = /^(40|53|57)|^55P03$/;

function isForgiven({ entry, forgives }: EntryWork, error: HoldfastError): boolean {
  if (forgives === 'errors') return true;
  return entry.type !== 'TABLE' && MISSING_NEED.has(sqlState(error.cause) ?? '');
}

/**
 * True when the server refused the statement itself and would refuse it again. The SQLSTATE alone can't show this: a statement can
 * fail with any code, for instance when it queries another server that is gone.
 */
export function isStatementsOwn(session: Session, error: unknown): error is HoldfastError {
  if (!(error instanceof HoldfastError) || session.broken) return false;
  const state = sqlState(error.cause);
  return state !== undefined && !PASSING.test(state);
}

/** SQLSTATEs for rows that violate a foreign key or a check. */
const BROKEN_BY_ROWS = new Set(['23503', '23514']);

/** Adds a foreign key or check that rows violate as `NOT VALID`, so that it applies to new rows, and records that. */
async function addedNotValid(work: EntryWork, statement: Adapted, error: HoldfastError): Promise<boolean> {
  const { type } = work.entry;
  const state = sqlState(error.cause) ?? '';
  if (type !== 'FK CONSTRAINT' && type !== 'CHECK CONSTRAINT') return false;
  if (!BROKEN_BY_ROWS.has(state) || !/\badd constraint\b/i.test(statement.text)) return false;
  const notValid = { ...statement, text: `${statement.text.replace(/;\s*$/, '')} NOT VALID;` };
  if ((await attempt(work, [notValid])) !== undefined) return false;
  await note(work, statement.text, error, { instead: 'NOT VALID' });
  return true;
}

const VALIDATES = /^alter (?:table|domain) .* validate constraint /is;

/** True when validating an existing check failed because of rows. The check still applies to new rows. */
function staysNotValid(statement: string, error: HoldfastError): boolean {
  return VALIDATES.test(statement) && BROKEN_BY_ROWS.has(sqlState(error.cause) ?? '');
}

/** SQLSTATEs for "no such constraint" and "no such table or type". */
const NOTHING_TO_VALIDATE = new Set(['42704', '42P01']);

/** True when there is nothing to validate because the check could not be added, which was recorded then. */
function isReported({ forgives }: EntryWork, statement: string, error: HoldfastError): boolean {
  const state = sqlState(error.cause) ?? '';
  return forgives === 'errors' && VALIDATES.test(statement) && NOTHING_TO_VALIDATE.has(state);
}

async function note(
  { session, entry, forgives, log }: EntryWork,
  sql: string,
  error: HoldfastError,
  how: Pick<LeftOut, 'instead'> = {},
): Promise<void> {
  const name = nameOf(entry);
  const because = forgives === 'errors' ? 'error' : 'selection';
  log(`left out ${entry.type} ${name}`, { sqlState: sqlState(error.cause) });
  await noteLeftOut(session, {
    kind: entry.type,
    name,
    error: reasonIn(error, doingOf(entry)),
    sql,
    because,
    ...how,
  });
}

/** Returns the server's reason without the prefix that says what we were doing. */
export function reasonIn({ message }: HoldfastError, doing: string): string {
  const prefix = `Failed to ${doing}: `;
  return message.startsWith(prefix) ? message.slice(prefix.length) : message;
}

function nameOf(entry: DumpEntry): string {
  return entry.schema === undefined ? entry.name : `${entry.schema}.${entry.name}`;
}

/** Completes "Failed to …". */
export function doingOf(entry: DumpEntry): string {
  return `create ${entry.type} ${nameOf(entry)}`;
}

/** SQLSTATEs for "already exists": table or index, object, schema, function, constraint; and for a second primary key. */
const ALREADY_THERE = new Set(['42P07', '42710', '42P06', '42723', '42P16']);

/** SQLSTATE of `index "x" is already associated with a constraint`, and of many other errors. */
const NOT_IN_STATE = '55000';

/** True when the statement's object exists already, from an interrupted attempt, so that its error means that it is done. */
export async function isThereAlready(
  session: Session,
  { tokens }: Adapted,
  error: unknown,
): Promise<boolean> {
  const state = error instanceof HoldfastError ? sqlState(error.cause) : undefined;
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

/** Sends the settings that apply to an entry, each by itself. */
export async function settle({ session, entry, settings }: EntryWork): Promise<void> {
  for (const setting of settings) await session.query(`prepare to ${doingOf(entry)}`, setting);
}

/** True when the server refused a request, even one from another thread, and would refuse it again. */
export function isRefusal(error: unknown): error is HoldfastError {
  return error instanceof HoldfastError && error.code === 'YSQL_FAILED' && !error.transient;
}

/** The remedy when one object can't be created. */
export const TOLERATE_HINT =
  'Or restore with --tolerate: everything else comes back, and what is left out is listed.';

/** Adds the hint about --tolerate to the error of an object that the server refuses. Returns other errors unchanged. */
export function withWayOut(session: Session, error: unknown): unknown {
  if (!isStatementsOwn(session, error)) return error;
  const { code, message, remedy, transient, maxEqual, cause } = error;
  return new HoldfastError(code, message, {
    remedy: `${remedy} ${TOLERATE_HINT}`,
    transient,
    maxEqual,
    cause,
  });
}
