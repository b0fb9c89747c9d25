import type { YsqlSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';
import { resolveTarget } from './server/session.ts';
import { runStatementAt } from './server/statement.ts';

/**
 * Runs the statement of a `sql` step on the source as the connection's role and with its defaults, in `database` or, without it, in the
 * connection's own database.
 */
export async function runStatement(
  verb: VerbContext,
  source: YsqlSource,
  statement: string,
  database: string | undefined,
): Promise<void> {
  await runStatementAt(verb, await resolveTarget(verb, source.connection), statement, database);
}
