import { formatAmount } from '../../model/amounts.ts';
import { type Check, check } from '../../model/check.ts';
import { permanent } from '../../model/errors.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import type { CheckOptions, VerbContext } from '../engine.ts';
import { checkArchive } from './archive/prerequisites.ts';
import { selectedDatabases } from './databases.ts';
import { lockRoom, maxTablesAtOnce, requireRoomForLocks } from './lock-budget.ts';
import { type Relation, readRelations, select, takesLock } from './server/catalog.ts';
import { rolesNotGiven } from './server/membership.ts';
import { describeProgram } from './server/programs/describe.ts';
import { dumpDriver, lossesOfStockDump } from './server/programs/dump-driver.ts';
import { findProgram } from './server/programs/find.ts';
import { OF_NOTHING, tryProgram } from './server/programs/trial.ts';
import { currentRole, grantRemedy, ignoreDdl } from './server/read-time.ts';
import { readServer } from './server/server.ts';
import { inTransaction, resolveTarget, withSession } from './server/session.ts';
import { divide } from './slices/dump-slices.ts';
import { openReadPoint } from './snapshot.ts';
import { tablesWithoutKey } from './table-cuts.ts';

/** Checks separately each thing that a backup of this source needs: connection, version, programs, privileges and read point. */
export async function checkSource(
  verb: VerbContext,
  source: YsqlSource,
  options?: CheckOptions,
): Promise<readonly Check[]> {
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
            // The trial dumps all roles, as a backup does: there are few of them.
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
    await tablesSeen(verb, source),
    await check('can restore', () => restorable(verb, source)),
    await check('room for locks', () => locksNeeded(verb, source)),
    ...(source.contents === 'schema'
      ? []
      : [await check('tables can be cut', () => tablesInOnePiece(verb, source))]),
    ...(options?.archive === undefined ? [] : await checkArchive(verb, source, options.archive)),
  ];
}

const TABLES = new Set(['r', 'p', 'f']);

/** Counts the tables that the role sees. A role without privileges, or one in the wrong database, sees none: its backup would complete and hold nothing. */
async function tablesSeen(verb: VerbContext, source: YsqlSource): Promise<Check> {
  const empty: string[] = [];
  const seen = await check('tables', async () => {
    const target = await resolveTarget(verb, source.connection);
    const databases = await withSession(target, target.database, verb.signal, (session) =>
      selectedDatabases(session, target, source),
    );
    let tables = 0;
    for (const database of databases) {
      const { dumped } = await withSession(target, database, verb.signal, async (session) =>
        select(session, await readRelations(session), source),
      );
      const found = dumped.filter(({ kind }) => TABLES.has(kind)).length;
      if (found === 0) empty.push(database);
      tables += found;
    }
    const none = empty.length === 0 ? '' : `; no table that this role can see in ${empty.join(', ')}`;
    return `${formatAmount(tables, 'table')} in ${formatAmount(databases.length, 'database')}${none}`;
  });
  if (empty.length === 0) return seen;
  return {
    ...seen,
    remedy:
      'See whether the plan names the right database, and whether its patterns of tables match anything.',
  };
}

/** Says what happens to a backup that reads at an instant while somebody runs DDL in the database. */
async function ddlBeside(verb: VerbContext, source: YsqlSource): Promise<string> {
  const target = await resolveTarget(verb, source.connection);
  return withSession(target, target.database, verb.signal, async (session) => {
    if (await ignoreDdl(session)) return 'DDL beside a backup does not end its sessions';
    const remedy = grantRemedy(await currentRole(session), await readServer(session));
    return `DDL that breaks (REVOKE, ALTER) ends sessions that read, which are tried again: the role may not set yb_disable_catalog_version_check. ${remedy}`;
  });
}

/**
 * Says whether this role can run drills, verifications and restores. They create databases, and only a member of an owner's role can give
 * that owner its objects back. Throws `RESTORE_MAY_NOT_CREATE` (permanent).
 */
async function restorable(verb: VerbContext, source: YsqlSource): Promise<string> {
  const target = await resolveTarget(verb, source.connection);
  return withSession(target, target.database, verb.signal, async (session) => {
    const server = await readServer(session);
    const role = await currentRole(session);
    const [may] = await session.query<{ create: boolean; everything: boolean }>(
      'read the privileges of the role',
      `SELECT rolsuper OR rolcreatedb AS "create", rolsuper AS everything FROM pg_catalog.pg_roles WHERE rolname = current_user`,
    );
    if (may?.create !== true) {
      throw permanent(
        'RESTORE_MAY_NOT_CREATE',
        `no, because role "${role}" may not create databases, which every drill, verification of level restore and restore does`,
        `Run ALTER ROLE ${role} CREATEDB; deploy/postgresql/backup-role.sql makes a role with all that it needs.`,
      );
    }
    const owners = await session.query<{ owner: string }>(
      'list the owners of tables and schemas',
      `SELECT DISTINCT pg_catalog.pg_get_userbyid(owner) AS owner FROM (
         SELECT relowner AS owner FROM pg_catalog.pg_class WHERE oid >= 16384
         UNION SELECT nspowner FROM pg_catalog.pg_namespace WHERE oid >= 16384) owned`,
    );
    const { lacking } = await rolesNotGiven(
      session,
      server,
      owners.map(({ owner }) => owner),
    );
    const yes = `yes, as role "${role}"`;
    if (may.everything) {
      return `${yes}, a superuser: objects keep their owners, and whoever can write into the repository decides what runs with all rights. deploy/postgresql/backup-role.sql makes a role with fewer, and signatures (docs/signing.md) refuse foreign backups`;
    }
    if (lacking.length === 0) return `${yes}; objects keep their owners`;
    return `${yes}; drills and verifications into databases of its own. It is not a member of ${lacking.join(', ')}, so a restore needs \`restore.owner\` in the plan (or --owner)`;
  });
}

/** Says how many locks all databases need together: a backup holds their snapshots at the same time. */
async function locksNeeded(verb: VerbContext, source: YsqlSource): Promise<string> {
  const target = await resolveTarget(verb, source.connection);
  const room = await withSession(target, target.database, verb.signal, async (session) => ({
    product: (await readServer(session)).product,
    databases: await selectedDatabases(session, target, source),
    locks: await lockRoom(session),
  }));
  // YugabyteDB reads at an instant and needs no lock for it.
  if (room.product === 'yugabytedb') return 'a backup of YugabyteDB holds no locks on tables';
  const { slots, maxConnections } = room.locks;
  const most = maxTablesAtOnce(room.locks);
  const lockable = new Map<string, readonly Relation[]>();
  for (const database of room.databases) {
    await withSession(target, database, verb.signal, async (session) => {
      const { read } = await select(session, await readRelations(session), source);
      lockable.set(database, read.filter(takesLock));
    });
  }
  const relations = [...lockable.values()].reduce((sum, some) => sum + some.length, 0);
  const hasRoom = `the server has room for about ${slots} locks`;
  if (relations <= most) return `${relations} tables and sequences are locked at once, and ${hasRoom}`;
  const tooMany = `${relations} tables and sequences are too many to be locked at once, since ${hasRoom}: each is locked while it is read`;
  if (source.contents === 'data') return tooMany;
  let slices = 0;
  for (const [database, some] of lockable) {
    await withSession(target, database, verb.signal, async (session) => {
      const divided = await inTransaction(session, () => divide(session, some, most));
      requireRoomForLocks({ relations: divided.rest, most, maxConnections });
      slices += divided.slices.length + 1;
    });
  }
  return `${tooMany}, and the schema is dumped in ${slices} slices`;
}

/** Names the tables that are larger than a chunk and can't be cut. That is no failure, but after a crash each of them is sent again as a whole. */
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
