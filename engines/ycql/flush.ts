import { transient } from '../../model/errors.ts';
import type { YcqlSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';
import { withSession } from './shared-session.ts';
import { resolveTarget } from './target.ts';

/** Waits until all nodes have the same schema. Throws `YCQL_SCHEMA_DISAGREES` (transient) if that takes longer than `waitMs` milliseconds. */
export async function flush(
  verb: VerbContext,
  source: YcqlSource,
  options: { readonly waitMs: number },
): Promise<{ readonly waitedMs: number }> {
  const target = await resolveTarget(verb, source);
  const startedAt = Date.now();
  const agrees = await withSession(verb, target, source, (session) =>
    session.awaitSchemaAgreement(options.waitMs, verb.signal),
  );
  if (agrees) return { waitedMs: Date.now() - startedAt };
  throw transient(
    'YCQL_SCHEMA_DISAGREES',
    `The nodes do not have the same schema after ${options.waitMs} ms`,
    'See `nodetool describecluster` (Cassandra) for the nodes that differ, or raise the wait of the flush step.',
  );
}
