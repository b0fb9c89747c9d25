import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { NodeAgent } from '../../../engines/universe/agent/node-agent.ts';
import { checkUniverse } from '../../../engines/universe/check.ts';
import { type AgentPoller, parseAgentIdentity } from '../../../model/task-queue.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { proveNodes } from '../../../worker/agents.ts';
import { query } from '../../support/sql.ts';
import { startUniverse, type Universe } from '../launcher.ts';
import { fill } from './contents.ts';
import { backUp, contextOf, deadServers, type Rig, restore, rightAgents, sourceOf } from './rig.ts';

/** An agent that isn't the agent of its node vouches for files that its tablet server doesn't have, and `restore_snapshot` ends the tablet server. */
let universe: Universe;
let scratch: ScratchFolder;
let rig: Rig;
let backup: Awaited<ReturnType<typeof backUp>>;
let copies = 0;
beforeAll(async () => {
  scratch = await createScratchFolder('identity');
  universe = await startUniverse({ tservers: 3 });
  await fill(universe);
  await mkdir(path.join(scratch.path, 'repository'));
  rig = {
    universe,
    store: new DirectoryStore(path.join(scratch.path, 'repository')),
    source: sourceOf(universe),
    agents: rightAgents(universe, scratch.path),
  };
  backup = await backUp(rig);
});
afterAll(async () => {
  await universe.stop();
  await scratch.remove();
});

// What killed one must not be told of the next.
afterEach(async () => {
  for (const { uuid } of (await universe.view()).tservers) {
    await universe.act({ do: 'startTserver', server: uuid });
  }
});

const tserver = (place: number) => {
  const found = universe.tservers[place];
  if (found === undefined) throw new Error(`there is no tablet server ${place}`);
  return found;
};

/** An agent for the address of one tablet server, with the directories of another. */
const agentOf = (address: number, directories: number) =>
  new NodeAgent({
    address: tserver(address).address,
    dataDirectories: tserver(directories).dataDirectories,
    stateDirectory: scratch.path,
  });

function again() {
  copies += 1;
  return { shop: `shop_${copies}` };
}

/** Refused by name, before `restore_snapshot`, and no tablet server died. */
async function expectRefused(agents: Rig['agents'], code: string, ...words: readonly string[]) {
  let isPlaced = false;
  const { error } = await restore({ ...rig, agents }, backup, again(), async () => {
    isPlaced = true;
  });
  expect({ code: error?.code, isPlaced }).toEqual({ code, isPlaced: false });
  for (const word of words) expect(error?.message).toContain(word);
  expect(await deadServers(universe)).toEqual([]);
}

it('the right agents restore it', async () => {
  const into = again();
  const { outcome, error } = await restore(rig, backup, into);
  expect(error).toBeUndefined();
  expect(outcome?.problems).toEqual([]);
  await expect(query(universe.ysql(into.shop), 'SELECT count(*)::int AS rows FROM orders')).resolves.toEqual([
    { rows: 900 },
  ]);
  expect(await deadServers(universe)).toEqual([]);
});

it('an agent whose directories are another node’s is refused (a copied unit file)', () =>
  expectRefused(
    new Map([...rig.agents, [tserver(0).address, [agentOf(0, 1)]]]),
    'RESTORE_NODES_NOT_READY',
    tserver(0).address,
    tserver(1).uuid,
  ));

it('two agents for one address, of which one is on another machine, are refused whoever answers first', async () => {
  for (const order of [
    [agentOf(0, 0), agentOf(0, 1)],
    [agentOf(0, 1), agentOf(0, 0)],
  ]) {
    let isPlaced = false;
    const agents = new Map([...rig.agents, [tserver(0).address, order]]);
    const { error } = await restore({ ...rig, agents }, backup, again(), async () => {
      isPlaced = true;
    });
    expect({ code: error?.code, isPlaced }).toEqual({
      code: expect.stringMatching(/^(RESTORE_NODES_NOT_READY|AGENT_WRONG_NODE)$/),
      isPlaced: false,
    });
    expect(await deadServers(universe)).toEqual([]);
  }
});

it('an agent that was told directories of nobody is refused', async () => {
  const nowhere = path.join(scratch.path, 'nowhere');
  await mkdir(path.join(nowhere, 'yb-data/tserver/data/rocksdb'), { recursive: true });
  const { address } = tserver(0);
  const agent = new NodeAgent({ address, dataDirectories: [nowhere], stateDirectory: scratch.path });
  await expectRefused(new Map([...rig.agents, [address, [agent]]]), 'RESTORE_NODES_NOT_READY', 'instance');
});

it('an agent that was told one of two disks is refused by the tablets that it lacks', async () => {
  const { address, dataDirectories } = tserver(0);
  const agent = new NodeAgent({
    address,
    dataDirectories: dataDirectories.slice(0, 1),
    stateDirectory: scratch.path,
  });
  await expectRefused(
    new Map([...rig.agents, [address, [agent]]]),
    'RESTORE_NODES_NOT_READY',
    'tablets that the universe says are there',
  );
});

describe('as it starts, an agent', () => {
  const settings = (address: number, directories?: number) => ({
    address: tserver(address).address,
    ...(directories === undefined ? {} : { dataDirectories: tserver(directories).dataDirectories }),
    stateDirectory: scratch.path,
  });

  it('polls as that of its tablet server, once', async () => {
    const proven = await proveNodes([settings(0), settings(1)]);
    expect(proven.map(({ identity }) => parseAgentIdentity(identity).server)).toEqual([
      tserver(0).uuid,
      tserver(1).uuid,
    ]);
    await expect(proveNodes([settings(0)])).rejects.toMatchObject({ code: 'AGENT_DOUBLED' });
  });

  it('does not poll with the directories of another, by name', async () => {
    await expect(proveNodes([settings(2, 1)])).rejects.toMatchObject({
      code: 'AGENT_WRONG_NODE',
      message: expect.stringContaining(tserver(1).uuid),
    });
  });

  it('of a tablet server that is down polls, and says that it has not proved whose it is', async () => {
    const disk = path.join(scratch.path, 'not-mounted');
    const [proven] = await proveNodes([
      { address: '127.0.0.1:1', dataDirectories: [disk], webPort: 1, stateDirectory: scratch.path },
    ]);
    expect(parseAgentIdentity(proven?.identity ?? '').server).toBeUndefined();
  });
});

describe('doctor finds', () => {
  const detailsWith = async (agents: readonly AgentPoller[]) => {
    const verb = contextOf(rig, backup.ref);
    const checks = await checkUniverse(verb, rig.source, async () => agents);
    return checks.filter(({ name }) => name === `tablet server ${tserver(0).address}`);
  };

  it('the right agent right', async () => {
    expect(await detailsWith([{ host: 'a', server: tserver(0).uuid }])).toEqual([
      expect.objectContaining({ ok: true, detail: 'alive, with its own agent' }),
    ]);
  });

  it.each<readonly [string, () => readonly AgentPoller[], () => string]>([
    ['no agent', () => [], () => 'has no agent'],
    ['another’s agent', () => [{ host: 'b', server: tserver(1).uuid }], () => tserver(1).uuid],
    [
      'agents on two machines',
      () => [{ host: 'a', server: tserver(0).uuid }, { host: 'b' }],
      () => 'several machines: a, b',
    ],
  ])('%s wrong', async (_what, agents, word) => {
    expect(await detailsWith(agents())).toEqual([
      expect.objectContaining({ ok: false, detail: expect.stringContaining(word()) }),
    ]);
  });
});

it('a tablet server that was made anew at the same address is told from the one before', async () => {
  const { address, uuid } = tserver(2);
  await universe.act({ do: 'recreateTserver', server: 2 });
  await expectRefused(rig.agents, 'RESTORE_TSERVER_DOWN', address, uuid, 'made anew');
  await universe.act({ do: 'forgetTserver', server: uuid });
  const { outcome, error } = await restore(rig, backup, again());
  expect(error).toBeUndefined();
  expect(outcome?.problems).toEqual([]);
  expect(await deadServers(universe)).toEqual([]);
});
