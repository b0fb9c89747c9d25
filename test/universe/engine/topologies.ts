/**
 * Random universes, and agents that are missing, doubled or another's: a restore places exactly the files of the backup for every pair of tablet and replica,
 * and nothing else, or it refuses before `restore_snapshot`; no tablet server ever dies.
 *
 * A campaign: `node test/universe/engine/topologies-campaign.ts --count 300 --seed 1`.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { filesBelow } from '../../../engines/universe/agent/folders.ts';
import { NodeAgent } from '../../../engines/universe/agent/node-agent.ts';
import type { UniverseRestore } from '../../../engines/universe/restore/context.ts';
import { readImported } from '../../../engines/universe/restore/ledger.ts';
import { HoldfastError } from '../../../model/errors.ts';
import { createScratchFolder } from '../../../parts/scratch.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { readTabletLists } from '../../../repository/objects/tablet-lists.ts';
import { Dice } from '../../crash/dice.ts';
import { query } from '../../support/sql.ts';
import { startUniverse, type Universe } from '../launcher.ts';
import type { Action } from '../model.ts';
import { databaseContents, fill } from './contents.ts';
import { leftBehind } from './outcome.ts';
import { backUp, deadServers, type Rig, restore, rightAgents, sourceOf } from './rig.ts';

/** What may come of a restore besides its success: each a refusal before `restore_snapshot`. */
const REFUSALS: ReadonlySet<string> = new Set([
  'RESTORE_NODES_NOT_READY',
  'RESTORE_TSERVER_DOWN',
  'RESTORE_NOT_SETTLED',
  'RESTORE_TABLET_SPLIT',
  'TABLETS_MOVING',
  'AGENT_WRONG_NODE',
  'AGENT_NO_IDENTITY',
  'TIMED_OUT',
]);

/** And of a backup. */
const LOSSES: ReadonlySet<string> = new Set(['TABLETS_LOST', 'READ_POINT_LOST', 'SNAPSHOT_FAILED']);

export interface TopologyOutcome {
  /** One line, the same for the same seed but for what chance in time decides. */
  readonly line: string;
  readonly end: 'restored' | 'refused' | 'no backup';
  readonly problems: readonly string[];
}

const ROUNDS = 5;

/** A whole number, both ends included. */
const whole = (dice: Dice, low: number, high: number): number => Math.floor(dice.between(low, high + 1));

/** Tries one universe in several states; yields what became of each. */
export async function* tryTopologies(seed: number, count: number, from = 0): AsyncGenerator<TopologyOutcome> {
  for (let tried = from - (from % ROUNDS); tried < count; tried += ROUNDS) {
    yield* tryUniverse(new Dice(seed * 10_007 + tried), Math.min(ROUNDS, count - tried));
  }
}

async function* tryUniverse(dice: Dice, rounds: number): AsyncGenerator<TopologyOutcome> {
  const scratch = await createScratchFolder('topologies');
  const replicationFactor = dice.pick([1, 3, 3, 5]);
  const config = {
    profile: dice.pick(['2.18', '2024.2', '2025.2'] as const),
    replicationFactor,
    tservers: replicationFactor + whole(dice, 0, 2),
    readReplicas: dice.pick([0, 0, 0, 1]),
    dataDirectories: whole(dice, 1, 3),
    tabletsPerTable: whole(dice, 1, 4),
  };
  const universe = await startUniverse(config);
  try {
    await fill(universe);
    await mkdir(path.join(scratch.path, 'repository'));
    const store = new DirectoryStore(path.join(scratch.path, 'repository'));
    const rig = {
      universe,
      store,
      source: sourceOf(universe),
      agents: rightAgents(universe, path.join(scratch.path, 'state')),
    };
    const words = Object.values(config).join(' ');
    for (let round = 0; round < rounds; round += 1) {
      const { line, ...outcome } = await tryRound(
        { ...rig, replicationFactor },
        dice,
        `copy_${round}`,
        scratch.path,
      );
      yield { line: `${words}: ${line}`, ...outcome };
    }
  } finally {
    await universe.stop();
    await scratch.remove();
  }
}

async function tryRound(
  rig: Rig & { readonly replicationFactor: number },
  dice: Dice,
  name: string,
  scratch: string,
): Promise<TopologyOutcome> {
  const { universe, store, replicationFactor } = rig;
  const events: string[] = [];
  const problems: string[] = [];
  const act = async (action: Action): Promise<void> => {
    try {
      const said = await universe.act(action);
      events.push(`${action.do} ${said.split(' ').slice(0, 3).join(' ')}`);
    } catch (error) {
      events.push(`${action.do} not (${error instanceof Error ? error.message.slice(0, 40) : ''})`);
    }
  };
  for (let moves = whole(dice, 0, 3); moves > 0; moves -= 1) {
    const table = dice.pick(['public.orders', 'public.customers', 'public.nothing']);
    await act(
      dice.pick<Action>([
        { do: 'moveReplica', table, copySnapshots: false },
        { do: 'changeLeader', table },
        { do: 'splitTablet', table },
      ]),
    );
  }
  const servers = (await universe.view()).tservers;
  const unlucky = dice.pick(servers).uuid;
  const fates = ['', '', '', '', '', '', 'down', 'anew', 'anew and forgotten'];
  // A single replica has nothing to be made anew from. Nobody may have asked for tablets yet: then there are none to see.
  const { tablets } = await universe.view();
  const isReplicated = replicationFactor > 2 && tablets.every(({ replicas }) => replicas.length > 2);
  const fate = isReplicated ? dice.pick(fates) : '';
  const agents = faultyAgents(rig, dice, scratch, events);
  let isDown = false;
  const end = (outcome: TopologyOutcome['end'], detail: string): TopologyOutcome => ({
    line: [...events, `→ ${outcome} ${detail}`].join('; '),
    end: outcome,
    problems,
  });
  try {
    // Half of the backups have all agents; the others must do with what there is.
    const backup = await backUp(dice.pick([rig, { ...rig, agents }]), { epochs: 3 });
    if (fate === 'down') {
      await act({ do: 'stopTserver', server: unlucky });
      isDown = true;
    }
    if (fate.startsWith('anew')) await act({ do: 'recreateTserver', server: unlucky });
    if (fate.endsWith('forgotten')) await act({ do: 'forgetTserver', server: unlucky });
    if (whole(dice, 0, 9) < 4) {
      const operation = dice.pick(['import_snapshot', 'GET /dump-entities']);
      const copySnapshots = dice.pick([true, false]);
      await universe.arm({
        operation,
        moment: 'after',
        actions: [{ do: 'moveReplica', namespace: name, copySnapshots }],
      });
      events.push(`a replica moves after ${operation}`);
    }
    let isPlaced = false;
    const { error } = await restore({ ...rig, agents }, backup, { shop: name }, async (context) => {
      isPlaced = true;
      problems.push(...(await differencesInPlace(universe, context)));
    });
    if (error === undefined) {
      const [found, wanted] = [
        await databaseContents(universe, name),
        await databaseContents(universe, 'shop'),
      ];
      if (JSON.stringify(found) !== JSON.stringify(wanted))
        problems.push(`${name} differs from what was saved`);
      return end('restored', '');
    }
    if (isPlaced || !REFUSALS.has(error.code)) problems.push(`${error.code}: ${error.message}`);
    return end('refused', error.code);
  } catch (error) {
    if (!(error instanceof HoldfastError) || !LOSSES.has(error.code)) throw error;
    return end('no backup', error.code);
  } finally {
    await universe.disarm();
    problems.push(...(await deadServers(universe)).map((death) => `a tablet server died: ${death}`));
    if (isDown) await universe.act({ do: 'startTserver', server: unlucky });
    if (fate === 'anew' && events.some((event) => event.startsWith('recreateTserver ')))
      await universe.act({ do: 'forgetTserver', server: unlucky });
    await query(universe.ysql('yugabyte'), `DROP DATABASE IF EXISTS "${name}"`);
    problems.push(...(await leftBehind({ universe, store: () => store as DirectoryStore })));
  }
}

/** The right agents, but for some that are missing, doubled, another's or told too few disks. */
function faultyAgents(
  { universe, agents }: Rig,
  dice: Dice,
  stateDirectory: string,
  events: string[],
): Map<string, NodeAgent[]> {
  const faulty = new Map(agents);
  for (const [place, { address, dataDirectories }] of universe.tservers.entries()) {
    const right = agents.get(address) ?? [];
    const other = universe.tservers[(place + 1) % universe.tservers.length];
    const wrong = new NodeAgent({
      address,
      dataDirectories: other?.dataDirectories ?? [],
      stateDirectory,
    });
    const few = new NodeAgent({ address, dataDirectories: dataDirectories.slice(1), stateDirectory });
    const fault = whole(dice, 0, 59);
    const kinds: readonly (readonly [string, NodeAgent[]])[] = [
      ['missing', []],
      ['another’s', [wrong]],
      ['doubled by another’s', [...right, wrong]],
      ['doubled', [...right, ...right]],
      ['told too few disks', [few]],
    ];
    const [kind, chosen] = kinds[fault] ?? [undefined, right];
    if (kind === undefined) continue;
    events.push(`agent ${place} ${kind}`);
    faulty.set(address, chosen);
  }
  return faulty;
}

/** Whether the folders of the imported snapshots are those of the map of replicas, no more and no fewer, each with exactly the files of its tablet of the backup. */
async function differencesInPlace(universe: Universe, restored: UniverseRestore): Promise<readonly string[]> {
  const imported = await readImported(restored, 0);
  if (imported === undefined) return ['nothing was imported'];
  const filesOf = new Map<string, string>();
  for await (const { tablets } of readTabletLists(restored.store, restored.manifest)) {
    for (const { tablet, files } of tablets) {
      filesOf.set(
        tablet,
        files
          .map((file) => `${file.path} ${file.sha256}`)
          .sort()
          .join('\n'),
      );
    }
  }
  const source = new Map(imported.tablets.map(({ from, to }) => [to, from]));
  const differences: string[] = [];
  const wanted = new Set<string>();
  for (const { id, replicas } of (await universe.view()).tablets) {
    const from = source.get(id);
    if (from === undefined) continue;
    source.delete(id);
    for (const { folder, server } of replicas) {
      const place = path.join(`${folder}.snapshots`, imported.snapshot);
      wanted.add(place);
      const found = existsSync(place)
        ? filesBelow(place)
            .map((file) => `${file.path} ${digestOf(file.absolute)}`)
            .sort()
            .join('\n')
        : undefined;
      if (found !== filesOf.get(from))
        differences.push(`${id} on ${server}: ${found === undefined ? 'no folder' : 'other files'}`);
    }
  }
  if (source.size > 0) differences.push(`${source.size} imported tablets are in no map`);
  for (const place of placesOnDisks(universe, imported.snapshot)) {
    if (!wanted.has(place)) differences.push(`${place} is a folder of no replica`);
  }
  return differences;
}

function placesOnDisks({ tservers }: Universe, snapshot: string): readonly string[] {
  const places: string[] = [];
  for (const disk of new Set(tservers.flatMap(({ dataDirectories }) => dataDirectories))) {
    const root = path.join(disk, 'yb-data/tserver/data/rocksdb');
    for (const table of existsSync(root) ? readdirSync(root) : []) {
      for (const tablet of readdirSync(path.join(root, table))) {
        const place = path.join(root, table, tablet, snapshot);
        if (tablet.endsWith('.snapshots') && existsSync(place)) places.push(place);
      }
    }
  }
  return places;
}

const digestOf = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');
