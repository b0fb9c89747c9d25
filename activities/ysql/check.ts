import { type Check, check } from '../../model/check.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';
import { readRelations, select } from './catalog.ts';
import { selectedDatabases } from './databases.ts';
import { lockSlots, maxConnections, requireRoomForLocks } from './lock-budget.ts';
import { dumpDriver, lossesOfStockDump } from './programs/dump-driver.ts';
import { findProgram, isConfigured } from './programs/find.ts';
import { PROGRAM_FOLDER_VARIABLE } from './programs/folders.ts';
import { isOlderRelease, type Program } from './programs/identity.ts';
import { OF_NOTHING, tryProgram } from './programs/trial.ts';
import { currentRole, grantRemedy, ignoreDdl } from './read-time.ts';
import { readServer, type Server } from './server.ts';
import { resolveTarget, withSession } from './session.ts';
import { openReadPoint } from './snapshot.ts';
import { tablesWithoutKey } from './table-cuts.ts';

/** What a backup of this source needs, each looked at by itself: connection, version, programs, privileges and read point. */
export async function checkSource(verb: VerbContext, source: YsqlSource): Promise<readonly Check[]> {
  const readTarget = async () => {
    const target = await resolveTarget(verb, source.connection);
    return { target, server: await withSession(target, target.database, verb.signal, readServer) };
  };
  return [
    await check('source answers', async () => {
      const { product, version } = (await readTarget()).server;
      return `${product} ${version}`;
    }),
    await check('program that dumps the schema', async () => {
      const { target, server } = await readTarget();
      const driver = await dumpDriver(server, source.dumpProgram);
      const { program } = driver;
      const args = ['--schema-only', '--encoding=UTF8', OF_NOTHING, ...(await driver.commonOptions())];
      const trial = await tryProgram(program, target, args, verb.signal);
      const losses = lossesOfStockDump(server, source.dumpProgram);
      const lost = losses.length === 0 ? '' : `; lost by it: ${losses.join('; ')}`;
      return `${describeProgram(program, server)}; ${trial}${lost}`;
    }),
    ...(source.globals === 'none'
      ? []
      : [
          await check('program that dumps roles', async () => {
            const { target, server } = await readTarget();
            const product = source.dumpProgram === 'pg_dump' ? 'postgresql' : server.product;
            const program = await findProgram('dumpall', server, product);
            // What a backup asks for, whole: roles are few.
            const args = ['--globals-only', ...(source.globals === 'roles' ? ['--no-role-passwords'] : [])];
            const trial = await tryProgram(program, target, args, verb.signal);
            return `${describeProgram(program, server)}; ${trial}`;
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

/** Path and version, and a word where the program is of an older release than the server, or not the one that was configured. */
export function describeProgram(program: Program, server: Server): string {
  const { path, version } = program;
  const older = isOlderRelease(version, server.version)
    ? `; older than the server (${server.version}): install the programs of its release`
    : '';
  const configured = process.env[PROGRAM_FOLDER_VARIABLE];
  const elsewhere =
    configured && program.product === 'yugabytedb' && !isConfigured(program)
      ? `; ${PROGRAM_FOLDER_VARIABLE} names ${configured}, where none was found that runs and is new enough`
      : '';
  return `${path} (${version})${older}${elsewhere}`;
}
