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
 * What a restore may leave out: `nothing`; `unselected`, what needs a table that wasn't selected; or `errors`, whatever the
 * server refuses, as pg_restore does.
 */
export type Forgiveness = 'nothing' | 'unselected' | 'errors';

export function forgivenessOf({ context }: Pick<RestoreJob, 'context'>, database: DatabaseJob): Forgiveness {
  if (context.request.tolerate === true) return 'errors';
  return database.selection.all ? 'nothing' : 'unselected';
}

/** One entry of the dump on its way into the database. */
export interface EntryWork {
  readonly session: Session;
  readonly entry: DumpEntry;
  /** Run before each statement. */
  readonly settings: readonly string[];
  readonly statements: readonly Adapted[];
  /** False where every statement is its own transaction. */
  readonly isInTransaction: boolean;
  /** Whether what is there already, from an attempt that was cut off, counts as done. */
  readonly mayBeThere: boolean;
  readonly forgives: Forgiveness;
  readonly log: (message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/**
 * Runs an entry's statements, and notes those that the server refuses as far as that is forgiven. First all together; where that
 * fails, one by one, as pg_restore does with an object and its owner.
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
    // What follows is about the object that isn't there.
    if (place === 0 && /^create\b/i.test(text)) return;
  }
}

/** Tries an entry once more that was left out as a whole: what it needs may have come since, such as the rows of a view. */
export async function applyAgain(work: EntryWork): Promise<void> {
  const [first] = work.statements;
  if (first === undefined) return;
  const item = { kind: work.entry.type, name: nameOf(work.entry), sql: first.text };
  if (!(await isLeftOut(work.session, item))) return;
  if ((await attempt(work, [first])) !== undefined) return;
  await forgetLeftOut(work.session, item);
  await applyForgivingly({ ...work, statements: work.statements.slice(1) });
}

/** Runs statements, one only where each is its own transaction; returns what failed where that is forgiven. */
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

/** SQLSTATEs of "what this needs isn't there": undefined table, column, function, object, schema. */
const MISSING_NEED = new Set(['42P01', '42703', '42883', '42704', '3F000', '42P17', '42809']);

/** SQLSTATEs that say nothing of the statement: another transaction, a full disk, a server that goes down, a cancellation. */
const PASSING = /^(40|53|57)|^55P03$/;

function isForgiven({ entry, forgives }: EntryWork, error: HoldfastError): boolean {
  if (forgives === 'errors') return true;
  return entry.type !== 'TABLE' && MISSING_NEED.has(sqlState(error.cause) ?? '');
}

/**
 * True where the server refused the statement itself and would refuse it again. A statement can end with any code, as when it asks
 * another server that is gone.
 */
export function isStatementsOwn(session: Session, error: unknown): error is HoldfastError {
  if (!(error instanceof HoldfastError) || session.broken) return false;
  const state = sqlState(error.cause);
  return state !== undefined && !PASSING.test(state);
}

/** SQLSTATEs of rows that break a foreign key, a check. */
const BROKEN_BY_ROWS = new Set(['23503', '23514']);

/** A foreign key or check that rows break is added `NOT VALID`, so that it holds for new rows, and is reported. */
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

/** A check that waited for the rows is there for rows to come, whatever the validation finds. */
function staysNotValid(statement: string, error: HoldfastError): boolean {
  return VALIDATES.test(statement) && BROKEN_BY_ROWS.has(sqlState(error.cause) ?? '');
}

/** SQLSTATEs of "there is no such constraint", "… table or type". */
const NOTHING_TO_VALIDATE = new Set(['42704', '42P01']);

/** A check that could not be added was reported then. */
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

/** The server's reason, without what we were doing. */
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

/** SQLSTATEs of "already exists": table or index, object, schema, function, constraint; and a second primary key. */
const ALREADY_THERE = new Set(['42P07', '42710', '42P06', '42723', '42P16']);

/** SQLSTATE of `index "x" is already associated with a constraint`, and of much else. */
const NOT_IN_STATE = '55000';

/** Whether what a statement creates was there, from an attempt that was cut off, so that its error says that it is done. */
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

/** Sends the settings that hold for an entry, each by itself. */
export async function settle({ session, entry, settings }: EntryWork): Promise<void> {
  for (const setting of settings) await session.query(`prepare to ${doingOf(entry)}`, setting);
}

/** True where the server refused what it was asked, whoever asked it (in another thread too), and would refuse it again. */
export function isRefusal(error: unknown): error is HoldfastError {
  return error instanceof HoldfastError && error.code === 'YSQL_FAILED' && !error.transient;
}

/** What helps where one object can't be created. */
export const TOLERATE_HINT =
  'Or restore with --tolerate: everything else comes back, and what is left out is listed.';

/** The error of an object that the server refuses, with the way around it. Others are returned as they are. */
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
