import { type Check, check } from '../../model/check.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';
import { dumpDriver, lossesOfStockDump } from './programs/dump-driver.ts';
import { findProgram } from './programs/find.ts';
import { isOlderRelease, type Program } from './programs/identity.ts';
import { readServer, type Server } from './server.ts';
import { resolveTarget, withSession } from './session.ts';
import { openReadPoint } from './snapshot.ts';

/** What a backup of this source needs, each looked at by itself: connection, version, programs, privileges and read point. */
export async function checkSource(verb: VerbContext, source: YsqlSource): Promise<readonly Check[]> {
  const readTargetServer = async () => {
    const target = await resolveTarget(verb, source.connection);
    return withSession(target, target.database, verb.signal, readServer);
  };
  return [
    await check('source answers', async () => {
      const { product, version } = await readTargetServer();
      return `${product} ${version}`;
    }),
    await check('program that dumps the schema', async () => {
      const server = await readTargetServer();
      const { program } = await dumpDriver(server, source.dumpProgram);
      const losses = lossesOfStockDump(server, source.dumpProgram);
      const lost = losses.length === 0 ? '' : `; lost by it: ${losses.join('; ')}`;
      return `${describeProgram(program, server)}${lost}`;
    }),
    ...(source.globals === 'none'
      ? []
      : [
          await check('program that dumps roles', async () => {
            const server = await readTargetServer();
            const product = source.dumpProgram === 'pg_dump' ? 'postgresql' : server.product;
            return describeProgram(await findProgram('dumpall', server, product), server);
          }),
        ]),
    await check('privileges and read point', async () => {
      const { readPoint, held } = await openReadPoint(verb, source, 1);
      await held?.close();
      return readPoint.kind === 'yb-read-time'
        ? 'everything selected is readable; the instant can be named by any session (yb_read_time)'
        : 'everything selected is readable; the instant is held by a session (exported snapshot)';
    }),
  ];
}

/** Path and version, and a word where the program is of an older release than the server. */
export function describeProgram({ path, version }: Program, server: Server): string {
  const older = isOlderRelease(version, server.version)
    ? `; older than the server (${server.version}): install the programs of its release`
    : '';
  return `${path} (${version})${older}`;
}
