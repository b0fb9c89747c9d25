import { HoldfastError, permanent } from '../../../model/errors.ts';
import {
  type AnswerRows,
  ASSERTION_OBJECT_MISSING,
  MAX_ANSWER_ROWS,
  type RestoreContext,
} from '../../engine.ts';
import { sqlState } from '../server/errors.ts';
import { type Session, withSession } from '../server/session.ts';
import { restoreJob } from './job.ts';

/** SQLSTATEs of an undefined table, column, schema, function or object: the copy lacks what the statement names. */
const MISSING_STATES = new Set(['42P01', '42703', '3F000', '42883', '42704']);

/**
 * Runs an assertion's statement on the restored copy in a read-only transaction and returns its rows. The cursor makes sure that
 * it is a single reading statement, and that a large result does not fill the worker's memory. Throws `ASSERTION_OBJECT_MISSING`
 * (permanent).
 */
export async function ask(
  context: RestoreContext,
  database: string | undefined,
  statement: string,
): Promise<AnswerRows> {
  const job = await restoreJob(context);
  const names = job.databases.map((each) => each.names);
  const copy = database === undefined ? names[0] : names.find(({ from }) => from === database);
  if (copy === undefined) {
    throw permanent(
      ASSERTION_OBJECT_MISSING,
      `the backup holds no database ${database ?? 'at all'}; it holds ${names.map(({ from }) => from).join(', ')}`,
      'Correct the assertion’s `database`, or find out why the backup lacks it.',
    );
  }
  return withSession(job.target, copy.to, context.signal, async (session) => {
    await session.query('begin a transaction that only reads', 'BEGIN READ ONLY');
    try {
      return await answer(session, statement);
    } catch (error) {
      throw worded(await session.failure(error, 'run the statement of the assertion'));
    }
  });
}

/** Runs the statement. The end of the session ends its transaction, which is never committed. */
async function answer(session: Session, statement: string): Promise<AnswerRows> {
  const text = statement.replace(/[;\s]+$/, '');
  // A name makes it a prepared statement. The server accepts only one statement in it, so nothing can follow a semicolon.
  await session.client.query({ name: 'assertion', text: `DECLARE answer NO SCROLL CURSOR FOR ${text}` });
  const { rows } = await session.client.query<(string | null)[]>({
    text: `FETCH ${MAX_ANSWER_ROWS + 1} FROM answer`,
    rowMode: 'array',
    types: { getTypeParser: () => (value: string) => value },
  });
  return rows;
}

function worded(failure: unknown): unknown {
  if (!(failure instanceof HoldfastError) || !MISSING_STATES.has(sqlState(failure.cause) ?? ''))
    return failure;
  return permanent(
    ASSERTION_OBJECT_MISSING,
    failure.message,
    'Name tables with their schema (the search path is empty); if that is right, the backup lacks it.',
    failure.cause,
  );
}
