import type { YsqlSource } from '../../model/pipeline.ts';
import type { SourceIdentity } from '../../model/source-lock.ts';
import type { VerbContext } from '../engine.ts';
import { serverId } from '../source-identity.ts';
import { parseConnectionUrl } from './server/connection-url.ts';

/** Says which server and databases this source is. Throws what reading the secret and the URL throw. */
export async function identify(source: YsqlSource, secret: VerbContext['secret']): Promise<SourceIdentity> {
  const { hosts, database } = parseConnectionUrl(await secret(source.connection));
  const addresses = hosts.map(({ host, port }) => `${host}:${port}`);
  return {
    server: serverId(source.engine, addresses),
    databases: source.databases ?? { include: [database], exclude: [] },
  };
}
