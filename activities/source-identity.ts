import { createHash } from 'node:crypto';
import type { Source } from '../model/pipeline.ts';
import type { SourceIdentity } from '../model/source-claim.ts';
import type { VerbContext } from './engine.ts';
import { parseConnectionUrl } from './ysql/connection-url.ts';

/**
 * Which server and databases a source means, whatever its plan calls it. By address: one server under two names counts as
 * two. Throws what reading the secret and the URL throw.
 */
export async function identifySource(source: Source, secret: VerbContext['secret']): Promise<SourceIdentity> {
  if (source.engine === 'universe') {
    const names = [...source.databases, ...source.keyspaces];
    return {
      server: hashOf([source.engine, ...source.masters.map((master) => master.toLowerCase()).sort()]),
      databases: { include: names, exclude: [] },
    };
  }
  const { hosts, database } = parseConnectionUrl(await secret(source.connection));
  const address = hosts.map(({ host, port }) => `${host.toLowerCase()}:${port}`).sort();
  return {
    server: hashOf([source.engine, ...address]),
    databases: source.databases ?? { include: [database], exclude: [] },
  };
}

function hashOf(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}
