import { existsSync, readdirSync } from 'node:fs';
import type { Action, ServerChoice, TabletChoice } from '../model.ts';
import { addOrphan, databaseOf, synchronize } from './catalog.ts';
import { damage, removeSnapshot, snapshotFolder, tabletFolder } from './files.ts';
import { formatDirectories } from './instances.ts';
import { changeNeighbours } from './neighbours.ts';
import {
  electLeader,
  forgetServer,
  isSplittingHeld,
  moveReplica,
  replaceTablet,
  splitTablet,
} from './placement.ts';
import { doomed } from './restorations.ts';
import { takeScheduledNow } from './schedules.ts';
import { beginDeletion, findSnapshot } from './snapshots.ts';
import type { ReplicaState, TabletState } from './state.ts';
import { newId, type World } from './world.ts';

/** Opens and closes a node's ports as it starts and stops. */
export interface Ports {
  openTserver(uuid: string): Promise<void>;
  closeTserver(uuid: string): Promise<void>;
  openMaster(uuid: string): Promise<void>;
  closeMaster(uuid: string): Promise<void>;
}

/** Performs an action of a test or a trigger. Returns what it did to what, or why it did nothing. */
export async function act(world: World, ports: Ports, action: Action): Promise<string> {
  const { state } = world;
  switch (action.do) {
    case 'sql':
      await world.connected(action.database, (client) => client.query(action.statement));
      return `ran in ${action.database}`;
    case 'moveReplica': {
      const tablet = await choose(world, action);
      const done = moveReplica(world, tablet, {
        ...(action.from === undefined ? {} : { from: serverOf(world, action.from) }),
        ...(action.to === undefined ? {} : { to: serverOf(world, action.to) }),
        copySnapshots: action.copySnapshots ?? true,
      });
      return done ? `moved a replica of ${tablet.id}` : `nowhere to move ${tablet.id} to`;
    }
    case 'changeLeader': {
      const tablet = await choose(world, action);
      electLeader(world, tablet);
      return `${tablet.leader} leads ${tablet.id}`;
    }
    case 'loseLeader': {
      const tablet = await choose(world, action);
      tablet.leaderlessUntil = world.now() + action.forMs;
      return `${tablet.id} has no leader`;
    }
    case 'splitTablet': {
      const tablet = await choose(world, action);
      if (isSplittingHeld(world) && action.evenIfHeld !== true) return 'splitting is held';
      return splitTablet(world, tablet) ? `split ${tablet.id}` : `${tablet.id} is too small`;
    }
    case 'replaceTablet': {
      const tablet = await choose(world, action);
      replaceTablet(world, tablet);
      return `replaced ${tablet.id}`;
    }
    case 'stopTserver':
      await stopTserver(world, ports, serverOf(world, action.server));
      return 'stopped';
    case 'startTserver':
      return await startTserver(world, ports, serverOf(world, action.server));
    case 'recreateTserver': {
      const old = world.tserver(serverOf(world, action.server));
      await stopTserver(world, ports, old.uuid);
      const created = { ...old, uuid: newId(), alive: true };
      state.tservers.push(created);
      formatDirectories(created);
      await ports.openTserver(created.uuid);
      return `${old.uuid} became ${created.uuid}`;
    }
    case 'forgetTserver': {
      const uuid = serverOf(world, action.server);
      forgetServer(world, uuid);
      return `forgot ${uuid}`;
    }
    case 'orphanTable': {
      await synchronize(world);
      const namespace = state.namespaces.find(
        ({ kind, name }) => kind === 'ysql' && name === action.database,
      );
      if (namespace === undefined) throw new Error(`there is no database ${action.database}`);
      return `${addOrphan(world, namespace, action.name).id} has no row in YSQL`;
    }
    case 'hideTablets': {
      const { tableId } = await choose(world, action);
      state.hidden.push(tableId);
      return `the tablets of ${tableId} are hidden`;
    }
    case 'ysqlOfAnother':
      state.ysqlOf = newId();
      return state.ysqlOf;
    case 'imports':
      state.imports = action.find;
      return action.find;
    case 'slowImports':
      state.slowImports = { msPerTable: action.msPerTable, left: action.times };
      return 'armed';
    case 'stopMaster':
      for (const master of state.masters) {
        if (
          action.master !== 'all' &&
          (action.master === 'leader' ? !master.leads : state.masters[action.master] !== master)
        )
          continue;
        master.alive = false;
        master.leads = false;
        await ports.closeMaster(master.uuid);
      }
      electMaster(world);
      return 'stopped';
    case 'startMaster':
      for (const master of state.masters) {
        if (action.master !== 'all' && state.masters[action.master] !== master) continue;
        if (master.alive) continue;
        master.alive = true;
        await ports.openMaster(master.uuid);
      }
      electMaster(world);
      return 'started';
    case 'electMaster': {
      const leader = state.masters.find(({ leads }) => leads);
      if (leader !== undefined) leader.leads = false;
      electMaster(world, leader?.uuid);
      return `${state.masters.find(({ leads }) => leads)?.uuid} leads`;
    }
    case 'takeScheduled':
      await takeScheduledNow(world);
      return `${state.schedules.length} schedules took a snapshot`;
    case 'advanceClock':
      state.clockOffsetMs += action.ms;
      return 'advanced';
    case 'snapshots':
      state.endOf.snapshots = action.end;
      return action.end;
    case 'restorations':
      state.endOf.restorations = action.end;
      return action.end;
    case 'deletions':
      state.endOf.deletions = action.end;
      return action.end;
    case 'refuse':
      state.refusals.push({ ...action, left: action.times });
      return 'armed';
    case 'loseAnswer':
      state.lostAnswers.push({ ...action, left: action.times });
      return 'armed';
    case 'delay':
      state.delays.push({ ...action, left: action.times });
      return 'armed';
    case 'balance':
      state.balance = {
        everyMs: action.everyMs,
        copySnapshots: action.copySnapshots ?? true,
        nextAt: world.now() + action.everyMs,
      };
      return 'armed';
    case 'growTablets':
      state.growth = { everyMs: action.everyMs, nextAt: world.now() + action.everyMs };
      return 'armed';
    case 'deleteSnapshot':
      for (const snapshot of action.snapshot === 'all'
        ? world.state.snapshots.filter(({ state }) => state === 'COMPLETE')
        : [findSnapshot(world, action.snapshot)]) {
        beginDeletion(world, snapshot);
      }
      return 'deleting';
    case 'removeSnapshotFolder': {
      const { tablet, replica, snapshots } = await chooseFolders(world, action);
      for (const snapshot of snapshots) removeSnapshot(replica, tablet, snapshot);
      return `removed ${snapshots.length} snapshots of ${tablet.id} on ${replica.server}`;
    }
    case 'damageFile': {
      const { tablet, replica, snapshots } = await chooseFolders(world, action);
      const done = snapshots.filter((snapshot) => damage(snapshotFolder(replica, tablet, snapshot)));
      return `damaged ${done.length} snapshots of ${tablet.id} on ${replica.server}`;
    }
    case 'addNeighbour':
    case 'removeNeighbours':
    case 'encrypt':
    case 'endEncryption':
      return await changeNeighbours(world, action);
    case 'die':
      world.save();
      process.kill(process.pid, 'SIGKILL');
      return 'dying';
  }
}

function electMaster(world: World, except?: string): void {
  const alive = world.state.masters.filter((master) => master.alive);
  if (alive.some(({ leads }) => leads)) return;
  const next = alive.find(({ uuid }) => uuid !== except) ?? alive[0];
  // Without a majority there is no leader.
  if (next !== undefined && alive.length * 2 > world.state.masters.length) next.leads = true;
}

export async function stopTserver(world: World, ports: Ports, uuid: string): Promise<void> {
  world.tserver(uuid).alive = false;
  await ports.closeTserver(uuid);
  for (const tablet of world.state.tablets) if (tablet.leader === uuid) electLeader(world, tablet);
}

/** Starts a tablet server. It first applies what it had not applied before it died, and may die again. */
async function startTserver(world: World, ports: Ports, uuid: string): Promise<string> {
  const server = world.tserver(uuid);
  for (const { snapshotId, state, rewind } of world.state.restorations) {
    if (state !== 'RESTORING' || rewind !== undefined) continue;
    const death = doomed(world, findSnapshot(world, snapshotId)).find((other) => other.server === uuid);
    if (death !== undefined) {
      server.diedOf = death.message;
      return `died again: ${death.message}`;
    }
  }
  if (!server.alive) {
    server.alive = true;
    delete server.diedOf;
    await ports.openTserver(uuid);
  }
  return 'started';
}

export function serverOf(world: World, choice: ServerChoice): string {
  if (typeof choice === 'string') return world.tserver(choice).uuid;
  const server = world.state.tservers[choice];
  if (server === undefined) throw new Error(`there is no tablet server ${choice}`);
  return server.uuid;
}

async function choose(world: World, choice: TabletChoice): Promise<TabletState> {
  await synchronize(world);
  const tables = new Map(world.state.tables.map((table) => [table.id, table]));
  const namespaces = new Map(world.state.namespaces.map((namespace) => [namespace.id, namespace]));
  const found = world.state.tablets.find((tablet) => {
    const table = tables.get(tablet.tableId);
    const namespace = namespaces.get(table?.namespaceId ?? '');
    if (tablet.state !== 'RUNNING' || table === undefined || namespace === undefined) return false;
    if (choice.tablet !== undefined && choice.tablet !== tablet.id) return false;
    if (choice.table !== undefined && choice.table !== `${table.schema}.${table.name}`) return false;
    return (
      choice.namespace === undefined ||
      choice.namespace === namespace.name ||
      choice.namespace === databaseOf(namespace)
    );
  });
  if (found === undefined) throw new Error(`there is no tablet like ${JSON.stringify(choice)}`);
  return found;
}

async function chooseFolders(
  world: World,
  choice: TabletChoice & { readonly server?: ServerChoice; readonly snapshot?: string },
): Promise<{
  readonly tablet: TabletState;
  readonly replica: ReplicaState;
  readonly snapshots: readonly string[];
}> {
  const tablet = await choose(world, choice);
  const server = choice.server === undefined ? tablet.replicas[0]?.server : serverOf(world, choice.server);
  const replica = tablet.replicas.find((other) => other.server === server);
  if (replica === undefined) throw new Error(`${tablet.id} has no replica on ${server}`);
  const folder = `${tabletFolder(replica, tablet)}.snapshots`;
  const all = existsSync(folder) ? readdirSync(folder) : [];
  return {
    tablet,
    replica,
    snapshots: choice.snapshot === undefined ? all : all.filter((name) => name === choice.snapshot),
  };
}
