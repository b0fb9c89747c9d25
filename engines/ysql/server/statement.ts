import type { VerbContext } from '../../engine.ts';
import type { ConnectionTarget } from './connection-url.ts';
import { withSession } from './session.ts';

/** Runs one statement in `database`, or else in the connection's own, as the server's role sees it. */
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
