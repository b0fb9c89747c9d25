import type { YsqlSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';
import { resolveTarget } from './server/session.ts';
import { runStatementAt } from './server/statement.ts';

/** Runs the statement of a `sql` step on the source, in `database` or else in the connection's own, as the server's role sees it. */
export async function runStatement(
  verb: VerbContext,
  source: YsqlSource,
  statement: string,
  database: string | undefined,
): Promise<void> {
  await runStatementAt(verb, await resolveTarget(verb, source.connection), statement, database);
}
