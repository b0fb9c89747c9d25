import type { VerbContext } from '../../engine.ts';
import type { ConnectionTarget } from './connection-url.ts';
import { withSession } from './session.ts';

/** Runs one statement as the connection's role and with its defaults, in `database` or, without it, in the connection's own database. */
export async function runStatementAt(
  verb: VerbContext,
  target: ConnectionTarget,
  statement: string,
  database: string | undefined,
): Promise<void> {
  await withSession(target, database ?? target.database, verb.signal, async (session) => {
    await session.query('reset the session', 'RESET ALL');
    await session.query('run the statement of the sql step', statement);
  });
}
