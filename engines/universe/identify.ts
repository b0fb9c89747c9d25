import type { UniverseSource } from '../../model/pipeline.ts';
import type { SourceIdentity } from '../../model/source-lock.ts';
import { serverId } from '../source-identity.ts';

/** A universe is identified by its masters. No secret is needed. */
export async function identify({
  engine,
  masters,
  databases,
  keyspaces,
}: UniverseSource): Promise<SourceIdentity> {
  return {
    server: serverId(engine, masters),
    databases: { include: [...databases, ...keyspaces], exclude: [] },
  };
}
