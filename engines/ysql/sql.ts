import type { YsqlSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';
import type { ConnectionTarget } from './connection-url.ts';
import { resolveTarget, withSession } from './session.ts';

/** Runs the statement of a `sql` step on the source, in `database` or else in the connection's own, as the server's role sees it. */
export async function runStatement(
  verb: VerbContext,
  source: YsqlSource,
  statement: string,
  database: string | undefined,
): Promise<void> {
  await runStatementAt(verb, await resolveTarget(verb, source.connection), statement, database);
}

/** The same where the connection is known already. */
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
