import type { YcqlSource } from '../../model/pipeline.ts';
import type { OpenReadPoint, VerbContext } from '../engine.ts';
import { readSelected } from './catalog.ts';
import { refuseMasked } from './masked-columns.ts';
import { refuseWhatCannotBeCarried } from './refusals.ts';
import { withSession } from './shared-session.ts';
import { resolveTarget } from './target.ts';

/**
 * Begins a scan, since CQL has no instant to pin. In its epoch the schema must not change. Throws, by name, for what isn't there (as
 * `readSelected`) and for what can't be carried (as `refuseWhatCannotBeCarried` and `refuseMasked`).
 */
export async function openReadPoint(
  verb: VerbContext,
  source: YcqlSource,
  epoch: number,
): Promise<OpenReadPoint> {
  const target = await resolveTarget(verb, source);
  await withSession(verb, target, source, async (session) => {
    const schemas = await readSelected(session, source, verb.signal);
    refuseWhatCannotBeCarried(schemas);
    if (source.contents !== 'schema')
      await refuseMasked(session, target.login?.username, schemas, verb.signal);
  });
  const { consistencyLevel } = source;
  return { readPoint: { kind: 'scan', epoch, consistencyLevel, takenAt: new Date().toISOString() } };
}
