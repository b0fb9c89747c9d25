import { type Check, check } from '../../model/check.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';
import { selectedDatabases } from './databases.ts';
import { lockSlots, maxConnections, requireRoomForLocks } from './lock-budget.ts';
import { readRelations, select } from './server/catalog.ts';
import { describeProgram } from './server/programs/describe.ts';
import { dumpDriver, lossesOfStockDump } from './server/programs/dump-driver.ts';
import { findProgram } from './server/programs/find.ts';
import { currentRole, grantRemedy, ignoreDdl } from './server/read-time.ts';
import { readServer } from './server/server.ts';
import { resolveTarget, withSession } from './server/session.ts';
import { openReadPoint } from './snapshot.ts';
import { tablesWithoutKey } from './table-cuts.ts';

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
      if (readPoint.kind !== 'yb-read-time') {
        const reason = readPoint.kind === 'pg-snapshot' ? readPoint.reason : undefined;
        const since = reason === undefined ? '' : `, since ${reason}`;
        return `everything selected is readable; the instant is held by a session (exported snapshot)${since}`;
      }
      return `everything selected is readable; the instant can be named by any session (yb_read_time); ${await ddlBeside(verb, source)}`;
    }),
    await check('room for locks', () => locksNeeded(verb, source)),
    ...(source.contents === 'schema'
      ? []
      : [await check('tables can be cut', () => tablesInOnePiece(verb, source))]),
  ];
}

/** What DDL in the database does to a backup that reads an instant. */
async function ddlBeside(verb: VerbContext, source: YsqlSource): Promise<string> {
  const target = await resolveTarget(verb, source.connection);
  return withSession(target, target.database, verb.signal, async (session) => {
    if (await ignoreDdl(session)) return 'DDL beside a backup does not end its sessions';
    const remedy = grantRemedy(await currentRole(session), await readServer(session));
    return `DDL that breaks (REVOKE, ALTER) ends sessions that read, which are tried again: the role may not set yb_disable_catalog_version_check. ${remedy}`;
  });
}

/** The locks of all databases together, since their snapshots are held at the same time. */
async function locksNeeded(verb: VerbContext, source: YsqlSource): Promise<string> {
  const target = await resolveTarget(verb, source.connection);
  const room = await withSession(target, target.database, verb.signal, async (session) => ({
    product: (await readServer(session)).product,
    databases: await selectedDatabases(session, target, source),
    slots: await lockSlots(session),
    maxConnections: await maxConnections(session),
  }));
  // YugabyteDB reads at an instant, which no lock holds.
  if (room.product === 'yugabytedb') return 'a backup of YugabyteDB holds no locks on tables';
  let tables = 0;
  for (const database of room.databases) {
    await withSession(target, database, verb.signal, async (session) => {
      const { read } = await select(session, await readRelations(session), source);
      tables += read.filter(({ kind }) => kind === 'r' || kind === 'p').length;
    });
  }
  return requireRoomForLocks({ ...room, tables });
}

/** Tables that are larger than a chunk and can't be cut: that is no failure, but a crash sends each of them again as a whole. */
async function tablesInOnePiece(verb: VerbContext, source: YsqlSource): Promise<string> {
  const target = await resolveTarget(verb, source.connection);
  const { product, databases } = await withSession(target, target.database, verb.signal, async (session) => ({
    product: (await readServer(session)).product,
    databases: await selectedDatabases(session, target, source),
  }));
  const whole: string[] = [];
  for (const database of databases) {
    await withSession(target, database, verb.signal, async (session) => {
      const selection = await select(session, await readRelations(session), source);
      const names = await tablesWithoutKey(session, selection, { product, chunkBytes: source.chunkBytes });
      whole.push(...names.map((name) => (databases.length > 1 ? `${database}.${name}` : name)));
    });
  }
  if (whole.length === 0) return 'every table that is larger than a chunk is cut into chunks';
  return `read in one piece, and sent again as a whole after a crash, for want of a primary key: ${whole.join(', ')}`;
}
