import { createHash } from 'node:crypto';
import type { Source } from '../model/pipeline.ts';
import type { SourceIdentity } from '../model/source-claim.ts';
import type { VerbContext } from './engine.ts';
import { resolveTarget } from './ycql/target.ts';
import { parseConnectionUrl } from './ysql/connection-url.ts';

/**
 * Which server and databases a source means, whatever its plan calls it. By address: one server under two names counts as
 * two. Throws what reading the secret and the URL throw.
 */
export async function identifySource(source: Source, secret: VerbContext['secret']): Promise<SourceIdentity> {
  if (source.engine === 'universe') {
    const names = [...source.databases, ...source.keyspaces];
    return {
      server: serverOf(source.engine, source.masters),
      databases: { include: names, exclude: [] },
    };
  }
  if (source.engine === 'ycql') {
    const { contactPoints, port } = await resolveTarget({ secret }, source);
    const addresses = contactPoints.map((host) => `${host}:${port}`);
    return { server: serverOf(source.engine, addresses), databases: source.keyspaces };
  }
  const { hosts, database } = parseConnectionUrl(await secret(source.connection));
  return {
    server: serverOf(
      source.engine,
      hosts.map(({ host, port }) => `${host}:${port}`),
    ),
    databases: source.databases ?? { include: [database], exclude: [] },
  };
}

function serverOf(engine: string, addresses: readonly string[]): string {
  const parts = [engine, ...addresses.map((address) => address.toLowerCase()).sort()];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}
