import type { YcqlSource } from '../../model/pipeline.ts';
import type { SourceIdentity } from '../../model/source-lock.ts';
import type { VerbContext } from '../engine.ts';
import { serverId } from '../source-identity.ts';
import { resolveTarget } from './target.ts';

/** A cluster is identified by its contact points. Throws as `resolveTarget`. */
export async function identify(source: YcqlSource, secret: VerbContext['secret']): Promise<SourceIdentity> {
  const { contactPoints, port } = await resolveTarget({ secret }, source);
  const addresses = contactPoints.map((host) => `${host}:${port}`);
  return { server: serverId(source.engine, addresses), databases: source.keyspaces };
}
