import { type Check, check } from '../../model/check.ts';
import { permanent, UNIVERSE_NO_DATABASE } from '../../model/errors.ts';
import type { UniverseSource } from '../../model/pipeline.ts';
import type { AgentPoller } from '../../model/task-queue.ts';
import type { VerbContext } from '../engine.ts';
import { describeProgram } from '../ysql/server/programs/describe.ts';
import { findProgram } from '../ysql/server/programs/find.ts';
import { OF_NOTHING, tryProgram } from '../ysql/server/programs/trial.ts';
import { withSession } from '../ysql/server/session.ts';
import { dumpEntities } from './entities.ts';
import { metadataDump } from './metadata-dump.ts';
import { requireSuperuser } from './restore/needs.ts';
import { deadServer } from './servers.ts';
import { bindUniverse, namesIn, ownYsqlTarget, serverOf, type Universe, ysqlTarget } from './universe.ts';
import { findNamespace } from './yb-admin/namespaces.ts';
import { listMasters, listTabletServers, type TabletServer } from './yb-admin/topology.ts';
import { isLoadBalancerEnabled } from './yb-admin/upkeep.ts';
import { programVersion } from './yb-admin/version.ts';

/**
 * For `holdfast doctor`: checks each thing that a backup of this universe needs, independently of the others. Changes nothing.
 *
 * @param agentsOf who polls for the tablet server at an address; undefined if that can't be known.
 */
export async function checkUniverse(
  verb: VerbContext,
  source: UniverseSource,
  agentsOf: (address: string) => Promise<readonly AgentPoller[] | undefined>,
): Promise<readonly Check[]> {
  let universe: Universe | undefined;
  const found = await check('yb-admin', async () => {
    universe = await bindUniverse(verb, source);
    return `version ${await programVersion(universe.admin)}`;
  });
  if (universe === undefined) return [found];
  const { admin } = universe;
  const opened = universe;
  const checks = [
    found,
    await check('a master leads', async () => {
      const masters = await listMasters(admin);
      const leader = masters.find(({ leads }) => leads);
      return `${leader?.address ?? 'none'} of ${masters.length}`;
    }),
    await check('the map of tablets is at hand (masters’ web server)', async () => {
      const { tablets } = await dumpEntities(opened.masterWebAddresses, verb.signal);
      return `${tablets.length} tablets`;
    }),
    await check('the load balancer is on, as outside of a restore', async () => {
      if (await isLoadBalancerEnabled(admin)) return 'on';
      throw permanent(
        'BALANCER_OFF',
        'the load balancer is off',
        'If no restore is running, switch it on: yb-admin set_load_balancer_enabled 1.',
      );
    }),
  ];
  for (const { api, name } of namesIn(source)) {
    checks.push(
      await check(`${api === 'ysql' ? 'database' : 'keyspace'} ${name}`, async () => {
        const namespace = await findNamespace(admin, api, name);
        if (namespace !== undefined) return namespace.state;
        throw permanent(UNIVERSE_NO_DATABASE, `there is no ${name}`, 'Correct its name in the plan.');
      }),
    );
  }
  if (source.databases.length > 0) {
    checks.push(
      await check('YSQL of this universe, and ysql_dump of its version', async () => {
        const target = await ownYsqlTarget(verb, opened);
        const server = await serverOf(target, verb.signal);
        const { program, options } = await metadataDump(server);
        const trial = await tryProgram(program, target, [...options(undefined), OF_NOTHING], verb.signal);
        return `${server.version}, ${describeProgram(program, server)}; ${trial}`;
      }),
      await check('ysqlsh, for a restore by hand', async () => {
        const server = await serverOf(await ysqlTarget(verb, opened), verb.signal);
        return describeProgram(await findProgram('shell', server), server);
      }),
      await check('a role that may restore (yb_binary_restore)', async () => {
        const target = await ysqlTarget(verb, opened);
        const role = await withSession(target, target.database, verb.signal, requireSuperuser);
        return `${role} is a superuser`;
      }),
    );
  }
  return [...checks, ...(await checkServers(opened, agentsOf))];
}

async function checkServers(
  { admin }: Universe,
  agentsOf: (address: string) => Promise<readonly AgentPoller[] | undefined>,
): Promise<readonly Check[]> {
  const checks: Check[] = [];
  const servers = await listTabletServers(admin);
  for (const server of servers) {
    const { address, status } = server;
    checks.push(
      await check(`tablet server ${address}`, async () => {
        if (status !== 'ALIVE') {
          throw permanent(
            'TSERVER_DOWN',
            `${deadServer(server, servers)} is ${status}`,
            'Start it, or remove it from the universe; until then its replicas are passed over, and nothing is restored.',
          );
        }
        const agents = await agentsOf(address);
        return agents === undefined
          ? 'alive; agents are not looked for without a Temporal server'
          : describeAgents(server, agents);
      }),
    );
  }
  return checks;
}

/** Makes sure that a tablet server has agents, all on one machine, and its own. Throws what is wrong. */
function describeAgents({ address, uuid }: TabletServer, agents: readonly AgentPoller[]): string {
  const [first] = agents;
  if (first === undefined) {
    throw permanent(
      'AGENT_MISSING',
      'it is ALIVE, and has no agent',
      `Start one on its node: holdfast worker --tserver ${address}`,
    );
  }
  const wrong = agents.find(({ server }) => server !== undefined && server !== uuid);
  if (wrong !== undefined) {
    throw permanent(
      'AGENT_WRONG_NODE',
      `the agent on ${wrong.host} has the data directories of the tablet server ${wrong.server}, and this one is ${uuid}`,
      'Correct --tserver and --data-dirs of that agent; where the tablet server was made anew, start the agent again.',
    );
  }
  const hosts = [...new Set(agents.map(({ host }) => host))];
  if (hosts.length > 1) {
    throw permanent(
      'AGENT_DOUBLED',
      `it has agents on several machines: ${hosts.join(', ')}`,
      'Stop those that are not on its node.',
    );
  }
  return agents.some(({ server }) => server === uuid)
    ? 'alive, with its own agent'
    : 'alive, with an agent that could not prove yet whose data directories it has';
}
