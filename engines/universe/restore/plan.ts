import type { UniverseRestorePlan } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import { databaseNameProblem, keyspaceNameProblem } from '../../../model/target-name.ts';
import { manifestProblems } from '../../../repository/backups/manifest-sums.ts';
import { databaseExists } from '../../ysql/server/maintenance.ts';
import { checkNodesAnswer } from '../../ysql/server/nodes.ts';
import { withSession } from '../../ysql/server/session.ts';
import { encryptionProblem } from '../encryption.ts';
import { dumpEntitiesIfAnswered, type Entities } from '../entities.ts';
import { refuseToBreakOthers } from '../neighbours.ts';
import { deadServer, inspections } from '../servers.ts';
import { openUniverse, ownYsqlTarget, serverOf, type Universe } from '../universe.ts';
import { findNamespace } from '../yb-admin/namespaces.ts';
import { listTabletServers } from '../yb-admin/topology.ts';
import { isLoadBalancerEnabled, replicasPerTablet, universeConfig } from '../yb-admin/upkeep.ts';
import { programVersion } from '../yb-admin/version.ts';
import { restoredDatabases, type UniverseRestore } from './context.ts';
import { refuseOutsideHistory } from './instant.ts';
import { NOTES, readNote, writeNote } from './ledger.ts';
import { checkSchemas } from './needs.ts';
import { incompatibility } from './versions.ts';

/** Replicas of each tablet, unless a universe is configured otherwise. */
const USUAL_REPLICAS = 3;

/**
 * Checks everything that can be checked before anything is written, and says what will be done. Throws the first problem, permanent unless a server
 * can't be asked.
 */
export async function planUniverseRestore(restore: UniverseRestore): Promise<UniverseRestorePlan> {
  const { manifest, request, signal } = restore;
  refuseUnsupported(restore);
  refuseOutsideHistory(restore);
  await refuseContradictions(restore);
  const universe = await openUniverse(restore, request.source);
  const databases = restoredDatabases(restore);
  const hasYsql = databases.some(({ api }) => api === 'ysql');
  const target = hasYsql ? await ownYsqlTarget(restore, universe) : undefined;
  const version =
    target === undefined ? await programVersion(universe.admin) : (await serverOf(target, signal)).version;
  const problem = incompatibility(manifest.server.version, version);
  if (problem !== undefined) {
    throw permanent(
      'RESTORE_VERSION',
      problem,
      'Restore into a universe of the same or a newer version of that track.',
    );
  }
  if (target !== undefined) await checkSchemas(restore, target);
  const config = await universeConfig(universe.admin);
  checkEncryption(restore, config);
  for (const { api, to } of databases) {
    const wrong = api === 'ycql' ? keyspaceNameProblem(to) : databaseNameProblem(to);
    if (wrong !== undefined) throw permanent('RESTORE_BAD_NAME', wrong.problem, wrong.remedy);
  }
  for (const { api, to, names, index } of databases) {
    // An earlier attempt of this restore began to create it.
    if ((await readNote(restore, NOTES.creating(index))) !== undefined) continue;
    for (const name of request.replace ? [to, names.kept] : [to]) {
      const isThere =
        api === 'ysql' && target !== undefined
          ? await withSession(target, target.database, signal, (session) => databaseExists(session, name))
          : (await findNamespace(universe.admin, api, name)) !== undefined;
      if (isThere) throw targetExists(name, api);
    }
  }
  if (request.replace) {
    // The databases to be replaced have the final names; `to` is the working name.
    const names = databases.map(({ api, names: { to } }) => ({ api, name: to }));
    const ysql = () => ownYsqlTarget(restore, universe);
    const surroundings = { universe, ysql, names, signal };
    const broken = await refuseToBreakOthers('replace', surroundings, request.breakOthers);
    if (broken.length > 0) await writeNote(restore, NOTES.broken, broken);
    if (target !== undefined) {
      await withSession(target, target.database, signal, (session) =>
        checkNodesAnswer(session, target, signal),
      );
    }
  }
  if (
    !(await isLoadBalancerEnabled(universe.admin)) &&
    (await readNote(restore, NOTES.balancer)) === undefined
  ) {
    restore.log('the load balancer is off already, and will be left off');
  }
  const servers = await listTabletServers(universe.admin);
  const dead = servers
    .filter(({ status }) => status !== 'ALIVE')
    .map((server) => deadServer(server, servers));
  if (dead.length > 0) {
    throw permanent(
      'RESTORE_TSERVER_DOWN',
      `Tablet servers that the universe counts with are not alive: ${dead.join(', ')}. A replica without its files would end its tablet server`,
      'Start them, or remove them from the universe (yb-admin remove_tablet_server UUID, once the universe has copied what they had).',
    );
  }
  const nodes = servers.map(({ address }) => address);
  const { totals, tablets } = manifest;
  const replicas = Math.min(replicasPerTablet(config) ?? USUAL_REPLICAS, nodes.length);
  return {
    databases: databases.map(({ from, names, api }) => ({ from, to: names.to, api })),
    nodes,
    tablets: tablets?.count ?? 0,
    rows: totals.rows,
    bytes: totals.bytes,
    storedBytes: totals.storedBytes,
    inspections: inspections(servers, await tabletsToInspect(restore, universe)),
    bytesPerNode: Math.ceil((totals.bytes * replicas) / Math.max(1, nodes.length)),
  };
}

/**
 * The tablets that agents are asked for. None if the masters' web servers can't be reached: then the servers' UUIDs alone prove which node an agent
 * is on.
 */
async function tabletsToInspect(
  restore: UniverseRestore,
  { masterWebAddresses }: Universe,
): Promise<Pick<Entities, 'tablets'>> {
  const entities = await dumpEntitiesIfAnswered(masterWebAddresses, restore.signal, (reason) =>
    restore.log('the agents are not asked for tablets of the map', { reason }),
  );
  return entities ?? { tablets: [] };
}

/** Throws `BACKUP_INCONSISTENT` (permanent) if parts of the manifest are missing, doubled or exchanged, before the universe finds out. */
async function refuseContradictions({ store, manifest, signal }: UniverseRestore): Promise<void> {
  const problems = [...(await manifestProblems(store, manifest, { signal }))];
  const snapshots = manifest.universe?.snapshots.length ?? 0;
  if (snapshots !== manifest.databases.length)
    problems.push(`It has ${manifest.databases.length} databases and ${snapshots} snapshots.`);
  if (problems.length === 0) return;
  throw permanent(
    'BACKUP_INCONSISTENT',
    `The manifest contradicts itself: ${problems.slice(0, 3).join(' ')}`,
    'The backup is damaged: restore another one, and have this one looked at (holdfast verify --level content).',
  );
}

/** Refuses what only other engines can do, each with what to do instead. Throws `RESTORE_UNSUPPORTED`, `RESTORE_NO_SUCH_DATABASE` (permanent). */
function refuseUnsupported({ request, manifest }: UniverseRestore): void {
  const { tables, contents, replace, owner, placement, into, scratch, connection, tolerate } = request;
  const snapshots = manifest.universe?.snapshots ?? [];
  const keyspaces = manifest.databases.flatMap(({ name }, index) =>
    snapshots[index]?.api === 'ycql' ? [name] : [],
  );
  const hasKeyspaces = keyspaces.length > 0;
  const refusals: readonly (readonly [asked: boolean, what: string, remedy: string])[] = [
    [
      tables.include.length + tables.exclude.length > 0,
      'a choice of tables',
      'Restore all of it beside (--into), and copy the tables from there.',
    ],
    [
      contents !== 'all',
      contents === 'data' ? 'its data alone' : 'its schema alone',
      'Restore all of it beside (--into). The schema alone is a script in the backup (RESTORE.md tells which).',
    ],
    [
      replace && hasKeyspaces,
      'YCQL keyspaces taking the place of others (YugabyteDB renames none)',
      `Drop them with ycqlsh and restore them under their own names (${keyspaces.map((name) => `--into ${name}=${name}`).join(' ')}, without --replace); or let the universe keep history (pointTime.inCluster) and go back in place with --to.`,
    ],
    [tolerate === true, 'objects left out', 'Leave out --tolerate.'],
    [
      placement === 'target',
      'splits of the target’s own',
      'A snapshot has the tablets it has; back up by source.ysql for a schema that is split anew.',
    ],
    [owner !== undefined, 'another owner', 'Restore it beside (--into), then REASSIGN OWNED.'],
    [
      connection !== undefined,
      'a connection of its own',
      'For another universe write a plan with its masters, the same repository and the same name.',
    ],
    [
      scratch && hasKeyspaces,
      'a restore into scratch databases with YCQL keyspaces, which yb-admin can’t drop again',
      'Back keyspaces up by a plan of their own, without drills.',
    ],
  ];
  const refused = refusals.filter(([asked]) => asked);
  if (refused.length > 0) {
    throw permanent(
      'RESTORE_UNSUPPORTED',
      `A distributed snapshot is restored whole, not with ${refused.map(([, what]) => what).join(', nor with ')}`,
      refused.map(([, , remedy]) => remedy).join(' '),
    );
  }
  const unknown = Object.keys(into).filter(
    (name) => !manifest.databases.some((database) => database.name === name),
  );
  if (unknown.length > 0) {
    throw permanent(
      'RESTORE_NO_SUCH_DATABASE',
      `The backup holds no database ${unknown.join(', ')}; it holds ${manifest.databases.map(({ name }) => name).join(', ')}`,
      'Correct the names to restore.',
    );
  }
}

/** Throws `RESTORE_ENCRYPTION` (permanent) if the universe can't read the files: only the key of the universe that wrote them opens them. */
function checkEncryption({ manifest }: UniverseRestore, config: unknown): void {
  const problem = manifest.universe === undefined ? undefined : encryptionProblem(manifest.universe, config);
  if (problem === undefined) return;
  throw permanent(
    'RESTORE_ENCRYPTION',
    problem,
    'Restore into a universe with the same key (or the same key management).',
  );
}

function targetExists(name: string, api: 'ysql' | 'ycql'): Error {
  return permanent(
    'RESTORE_TARGET_EXISTS',
    `There is already a ${api === 'ysql' ? 'database' : 'keyspace'} ${name}`,
    'Choose another name (--into), or drop it first.',
  );
}
