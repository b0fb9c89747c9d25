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
  const { hosts, database } = parseConnectionUrl(await secret(source.connection));
  const address = hosts.map(({ host, port }) => `${host.toLowerCase()}:${port}`).sort();
  return {
    server: createHash('sha256')
      .update(JSON.stringify([source.engine, ...address]))
      .digest('hex')
      .slice(0, 16),
    databases: source.databases ?? { include: [database], exclude: [] },
  };
}
