import type { VerbContext } from '../engines/engine.ts';
import { clone } from '../engines/universe/in-cluster/clone.ts';
import { reconcileSchedule } from '../engines/universe/in-cluster/reconcile.ts';
import {
  checkWritesStopped,
  choresAfter,
  rewind,
  scheduleOf,
  takeSafetySnapshot,
  type Waiting,
} from '../engines/universe/in-cluster/rewind.ts';
import { microsOf, refuseIfSealed, rewindOnce } from '../engines/universe/in-cluster/sealed-rewind.ts';
import { refuseToBreakOthers } from '../engines/universe/neighbours.ts';
import { pendingExports } from '../engines/universe/off-cluster/pending.ts';
import {
  namesIn,
  openUniverse,
  ownYsqlTarget,
  type Universe,
  ysqlTarget,
} from '../engines/universe/universe.ts';
import { findNamespace } from '../engines/universe/yb-admin/namespaces.ts';
import { listTabletServers } from '../engines/universe/yb-admin/topology.ts';
import { withSession } from '../engines/ysql/server/session.ts';
import { permanent } from '../model/errors.ts';
import type { InClusterChange, InClusterRequest } from '../model/in-cluster.ts';
import { scheduledNamespaces } from '../repository/in-cluster.ts';
import type { Activities } from './contract.ts';
import type { Repositories } from './repositories.ts';
import { asActivity } from './run-activity.ts';

/** How long the safety snapshot is kept: long enough to notice on Monday what went wrong on Friday. */
const SAFETY_RETENTION_HOURS = 72;

const UNSEALED =
  'This rewind was asked for without a repository, so it has no record there: a Temporal that is put back to an older state would run it again.';

/** The activities of point-in-time recovery within a universe. */
export function inClusterActivities(
  repositories: Repositories,
): Pick<
  Activities,
  | 'pendingExports'
  | 'reconcileInCluster'
  | 'checkInCluster'
  | 'saveInCluster'
  | 'goBackInCluster'
  | 'choresInCluster'
> {
  return {
    pendingExports: ({ repository, plan, source }) =>
      asActivity(async (verb) => pendingExports(verb, await repositories.open(repository), plan, source)),

    reconcileInCluster: ({ repository, plan, source, policy }) =>
      asActivity(async (verb) => {
        const store = await repositories.open(repository);
        const { signal } = verb;
        const namespaces = namesIn(source).map(({ api, name }) => `${api}.${name}`);
        const known = await scheduledNamespaces(store, plan, { signal });
        // Schedules of databases that the plan no longer names are ended. If the plan never had a schedule and wants none, the
        // universe isn't asked.
        const unwanted = policy === undefined ? known : known.filter((name) => !namespaces.includes(name));
        const wanted = policy === undefined ? [] : namespaces;
        if (unwanted.length + wanted.length === 0) return [];
        const context = { admin: (await openUniverse(verb, source)).admin, store, plan, signal };
        const changes: (InClusterChange | undefined)[] = [];
        for (const name of unwanted) changes.push(await reconcileSchedule(context, name, undefined));
        for (const name of wanted) changes.push(await reconcileSchedule(context, name, policy));
        return changes.filter((change) => change !== undefined);
      }),

    checkInCluster: ({ request }) =>
      asActivity(async (verb) => {
        await refuseToRunAgain(repositories, request, verb);
        const universe = await openUniverse(verb, request.source);
        if (request.way === 'clone') {
          await checkClone(universe, request);
          return { broken: [] };
        }
        for (const { from } of request.databases)
          await scheduleOf(universe.admin, namespaceOf(request, from));
        const names = request.databases.map(({ from }) => ({ api: apiOf(request, from), name: from }));
        const ysql = () => ysqlTarget(verb, universe);
        const surroundings = { universe, ysql, names, signal: verb.signal };
        const broken = await refuseToBreakOthers('rewind', surroundings, request.breakOthers);
        for (const database of ysqlIn(request)) {
          const target = await ownYsqlTarget(verb, universe);
          const asked = { target, signal: verb.signal, aliveHosts: await aliveHosts(universe) };
          await withSession(target, database, verb.signal, (session) => checkWritesStopped(session, asked));
        }
        return { broken };
      }),

    saveInCluster: ({ request }) =>
      asActivity(async (verb) => {
        await refuseToRunAgain(repositories, request, verb);
        const { admin } = await openUniverse(verb, request.source);
        const saved: Record<string, string> = {};
        for (const { from } of request.databases) {
          const options = { retentionHours: SAFETY_RETENTION_HOURS };
          const waiting = waitingOf(verb, request.source.patience.snapshotMs);
          saved[from] = await takeSafetySnapshot(admin, namespaceOf(request, from), options, waiting);
        }
        return saved;
      }),

    goBackInCluster: ({ request, database }) =>
      asActivity(async (verb) => {
        const { admin } = await openUniverse(verb, request.source);
        const pair = request.databases[database];
        if (pair === undefined) throw new TypeError(`there is no database ${database} in the request`);
        const micros = microsOf(request.instant);
        const waiting = waitingOf(verb, request.source.patience.restorationMs);
        if (request.way === 'clone') {
          await clone(admin, pair.from, pair.to, micros, waiting);
          return [];
        }
        const namespace = namespaceOf(request, pair.from);
        if (request.repository === undefined) {
          await rewind(admin, namespace, micros, waiting);
          return [UNSEALED];
        }
        const store = await repositories.open(request.repository);
        const stands = await rewindOnce({ admin, store, request, waiting }, database, namespace);
        return stands === undefined ? [] : [stands];
      }),

    choresInCluster: ({ request }) =>
      asActivity(async (verb) => {
        const universe = await openUniverse(verb, request.source);
        const chores: string[] = [];
        for (const { from, to } of request.databases) {
          if (!request.source.databases.includes(from)) continue;
          chores.push(...(await withSession(await ysqlTarget(verb, universe), to, verb.signal, choresAfter)));
        }
        return chores;
      }),
  };
}

async function refuseToRunAgain(
  repositories: Repositories,
  request: InClusterRequest,
  { signal }: VerbContext,
): Promise<void> {
  if (request.way === 'clone' || request.repository === undefined) return;
  await refuseIfSealed(await repositories.open(request.repository), request, signal);
}

async function aliveHosts({ admin }: Universe): Promise<ReadonlySet<string>> {
  const servers = await listTabletServers(admin);
  return new Set(
    servers.flatMap(({ address, status }) =>
      status === 'ALIVE' ? [address.slice(0, address.lastIndexOf(':'))] : [],
    ),
  );
}

async function checkClone({ admin }: Universe, { databases }: InClusterRequest): Promise<void> {
  for (const { from, to } of databases) {
    await scheduleOf(admin, `ysql.${from}`);
    if ((await findNamespace(admin, 'ysql', to)) === undefined) continue;
    throw permanent('TARGET_EXISTS', `There is a database "${to}" already`, 'Choose another name (--into).');
  }
}

function namespaceOf({ source }: InClusterRequest, name: string): string {
  return `${apiOf({ source }, name)}.${name}`;
}

function apiOf({ source }: Pick<InClusterRequest, 'source'>, name: string): 'ysql' | 'ycql' {
  return source.databases.includes(name) ? 'ysql' : 'ycql';
}

function ysqlIn({ source, databases }: InClusterRequest): readonly string[] {
  return databases.map(({ from }) => from).filter((name) => source.databases.includes(name));
}

function waitingOf({ signal, heartbeat }: VerbContext, patienceMs: number): Waiting {
  return { signal, heartbeat, patienceMs };
}
