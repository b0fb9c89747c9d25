import type { YcqlSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';
import { withSession } from './shared-session.ts';
import { resolveTarget } from './target.ts';

/** Runs the CQL statement of a `sql` step on the source. `database` is the keyspace of names without one. */
export async function runStatement(
  verb: VerbContext,
  source: YcqlSource,
  statement: string,
  database: string | undefined,
): Promise<void> {
  const target = await resolveTarget(verb, source);
  await withSession(verb, target, source, (session) =>
    session.execute(
      'run the statement of the sql step',
      statement,
      [],
      verb.signal,
      database === undefined ? {} : { keyspace: database },
    ),
  );
}
