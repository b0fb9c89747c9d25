import { mkdirSync } from 'node:fs';
import { bootstrapReplica, newFileSet, removeReplica, tabletFolder } from './files.ts';
import type { ReplicaState, TabletState } from './state.ts';
import { newId, type World } from './world.ts';

const HASH_CODES = 65_536;

/** Divides the hash codes into `count` equal ranges. */
export function evenRanges(count: number): readonly { readonly start: number; readonly end: number }[] {
  const step = Math.ceil(HASH_CODES / count);
  return Array.from({ length: count }, (_, index) => ({
    start: index * step,
    end: Math.min(HASH_CODES, (index + 1) * step),
  }));
}

/** Creates a tablet with empty replicas on `replicationFactor` servers, and on those for read replicas. */
export function newTablet(
  world: World,
  tableId: string,
  range: { readonly start: number; readonly end: number },
): TabletState {
  const { tservers, tablets, config } = world.state;
  const turn = tablets.length;
  const voters = tservers.filter(({ alive, readReplica }) => alive && !readReplica);
  const chosen = Array.from(
    { length: Math.min(config.replicationFactor, voters.length) },
    (_, index) => voters[(turn + index) % voters.length]?.uuid ?? '',
  );
  const observers = tservers.filter(({ readReplica }) => readReplica).slice(0, config.replicationFactor);
  const replicas = [
    ...chosen.map((uuid) => newReplica(world, uuid, 'VOTER')),
    ...observers.map(({ uuid }) => newReplica(world, uuid, 'OBSERVER')),
  ];
  const [leader] = chosen;
  const tablet: TabletState = {
    id: newId(),
    tableId,
    ...range,
    state: 'RUNNING',
    replicas,
    ...(leader === undefined ? {} : { leader }),
  };
  for (const replica of replicas) mkdirSync(tabletFolder(replica, tablet), { recursive: true });
  return tablet;
}

let turns = 0;

/** Spreads tablets of one table over a server's disks (issue 1971). */
function newReplica(world: World, uuid: string, role: ReplicaState['role']): ReplicaState {
  const { dataDirectories } = world.tserver(uuid);
  turns += 1;
  const directory = dataDirectories[turns % dataDirectories.length] ?? '';
  return {
    server: uuid,
    directory,
    role,
    files: newFileSet(turns * 7 + Number.parseInt(uuid.slice(0, 4), 16)),
  };
}

/** Elects a live voter as leader, a different one than before if possible. */
export function electLeader(world: World, tablet: TabletState): void {
  const candidates = tablet.replicas.filter(({ role, server }) => role === 'VOTER' && world.isAlive(server));
  const others = candidates.filter(({ server }) => server !== tablet.leader);
  const [next] = others.length > 0 ? others : candidates;
  if (next !== undefined) tablet.leader = next.server;
}

/** Moves a replica to another server. False when there is no free server, or no such replica. */
export function moveReplica(
  world: World,
  tablet: TabletState,
  choice: { readonly from?: string; readonly to?: string; readonly copySnapshots: boolean },
): boolean {
  const voters = tablet.replicas.filter(({ role }) => role === 'VOTER');
  const from =
    choice.from === undefined
      ? (voters.find(({ server }) => server !== tablet.leader) ?? voters[0])
      : tablet.replicas.find(({ server }) => server === choice.from);
  const free = world.state.tservers.filter(
    ({ uuid, alive, readReplica }) =>
      alive && !readReplica && tablet.replicas.every(({ server }) => server !== uuid),
  );
  const to = choice.to === undefined ? free[0] : free.find(({ uuid }) => uuid === choice.to);
  if (from === undefined || to === undefined) return false;
  const source =
    tablet.replicas.find(({ server }) => server === tablet.leader && world.isAlive(server)) ??
    tablet.replicas.find(({ server }) => world.isAlive(server)) ??
    from;
  const replica = newReplica(world, to.uuid, from.role);
  bootstrapReplica(source, replica, tablet, choice.copySnapshots);
  tablet.replicas = [...tablet.replicas.filter((other) => other !== from), replica];
  if (tablet.leader === from.server) electLeader(world, tablet);
  // If the server is dead, its directories may belong to another server by now.
  if (world.isAlive(from.server)) removeReplica(from, tablet);
  return true;
}

/** Makes the masters forget a dead server and copies its replicas to others, as far as there are any. */
export function forgetServer(world: World, uuid: string): void {
  if (world.isAlive(uuid)) throw new Error(`${uuid} is alive`);
  for (const tablet of world.state.tablets) {
    if (!tablet.replicas.some(({ server }) => server === uuid)) continue;
    if (moveReplica(world, tablet, { from: uuid, copySnapshots: true })) continue;
    tablet.replicas = tablet.replicas.filter(({ server }) => server !== uuid);
  }
  const place = world.state.tservers.findIndex((server) => server.uuid === uuid);
  world.state.tservers.splice(place, 1);
}

/** Replaces a tablet by two children. Its folders are removed, including snapshots. */
export function splitTablet(world: World, tablet: TabletState): boolean {
  if (tablet.end - tablet.start < 2) return false;
  const middle = Math.floor((tablet.start + tablet.end) / 2);
  const children = [
    { start: tablet.start, end: middle },
    { start: middle, end: tablet.end },
  ].map((range) => ({
    ...newTablet(world, tablet.tableId, range),
    replicas: tablet.replicas.map((replica) => ({
      ...replica,
      files: newFileSet(replica.files.salt + range.start),
    })),
    ...(tablet.leader === undefined ? {} : { leader: tablet.leader }),
  }));
  dropTablet(world, tablet);
  world.state.tablets.push(...children);
  for (const child of children) {
    for (const replica of child.replicas) mkdirSync(tabletFolder(replica, child), { recursive: true });
  }
  return true;
}

export function dropTablet(world: World, tablet: TabletState): void {
  for (const replica of tablet.replicas) removeReplica(replica, tablet);
  world.state.tablets = world.state.tablets.filter((other) => other !== tablet);
}

/** Replaces a tablet whose creation timed out by one with another id. The old id has no locations any more (issue 13030). */
export function replaceTablet(world: World, tablet: TabletState): void {
  const successor = newTablet(world, tablet.tableId, { start: tablet.start, end: tablet.end });
  for (const replica of tablet.replicas) removeReplica(replica, tablet);
  tablet.state = 'REPLACED';
  tablet.replicas = [];
  delete tablet.leader;
  world.state.tablets.push(successor);
}

export function isSplittingHeld(world: World): boolean {
  return Object.values(world.state.splittingHolds).some((until) => until > world.now());
}
