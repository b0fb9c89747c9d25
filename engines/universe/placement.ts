import type { TabletTarget } from '../../model/tablets.ts';
import type { Tablet, TabletReplica } from './yb-admin/topology.ts';

/** What the last backup knows of a tablet: that its files are stored already, and about how many bytes they are. */
export interface EarlierCopy {
  readonly replica: string;
  readonly bytes: number;
}

/** When nothing is known of any tablet. */
const UNKNOWN_BYTES = 64 * 1024 * 1024;

/** Replicas that are whole. */
const WHOLE: ReadonlySet<TabletReplica['role']> = new Set(['LEADER', 'FOLLOWER', 'READ_REPLICA']);

/**
 * From which replica each tablet is taken, and which come next. Replicas of one tablet differ in their files, so the one whose
 * files were stored last time makes least to send. Else the node with the least to send so far, among voters before read
 * replicas, the leader before an equal. Pure; the order of tablets spreads neighbours over nodes.
 *
 * @param snapshotOf the snapshot of a table's database.
 */
export function placeTablets(
  tablets: readonly Tablet[],
  snapshotOf: (tableId: string) => string,
  earlier: ReadonlyMap<string, EarlierCopy>,
): readonly TabletTarget[] {
  const usual = averageOf([...earlier.values()].map(({ bytes }) => bytes)) ?? UNKNOWN_BYTES;
  const load = new Map<string, number>();
  const bytesOf = (tablet: Tablet) => earlier.get(tablet.id)?.bytes ?? usual;
  const first = new Map<string, string>();
  // The settled ones first, so that the others even out what they leave uneven.
  for (const tablet of tablets) {
    const copy = earlier.get(tablet.id);
    if (copy !== undefined && wholeReplicas(tablet).some(({ address }) => address === copy.replica)) {
      first.set(tablet.id, copy.replica);
      load.set(copy.replica, (load.get(copy.replica) ?? 0) + copy.bytes);
    }
  }
  const biggestFirst = tablets.toSorted((one, other) => bytesOf(other) - bytesOf(one));
  for (const tablet of biggestFirst) {
    if (first.has(tablet.id)) continue;
    const [best] = ranked(tablet, load);
    if (best === undefined) continue;
    first.set(tablet.id, best);
    load.set(best, (load.get(best) ?? 0) + bytesOf(tablet));
  }
  const targets = tablets.map((tablet): TabletTarget => {
    const chosen = first.get(tablet.id);
    const others = ranked(tablet, load).filter((address) => address !== chosen);
    return {
      tablet: tablet.id,
      table: tablet.tableId,
      snapshot: snapshotOf(tablet.tableId),
      nodes: chosen === undefined ? others : [chosen, ...others],
      estimatedBytes: bytesOf(tablet),
    };
  });
  return spread(targets);
}

/** Addresses of the whole replicas, the best to take it from first. */
function ranked(tablet: Tablet, load: ReadonlyMap<string, number>): readonly string[] {
  const rank = ({ role }: TabletReplica) => (role === 'READ_REPLICA' ? 1 : 0);
  return wholeReplicas(tablet)
    .toSorted(
      (one, other) =>
        rank(one) - rank(other) ||
        (load.get(one.address) ?? 0) - (load.get(other.address) ?? 0) ||
        Number(other.role === 'LEADER') - Number(one.role === 'LEADER'),
    )
    .map(({ address }) => address);
}

export function wholeReplicas({ replicas }: Tablet): readonly TabletReplica[] {
  return replicas.filter(({ role }) => WHOLE.has(role));
}

/** Neighbours that go to one node as one task: `workflows/tablet-transfer.ts` makes no bigger ones. */
const RUN = 16;

/** Takes a run of tablets of each node in turn: a batch keeps many nodes busy, and each with few tasks. */
function spread(targets: readonly TabletTarget[]): readonly TabletTarget[] {
  const queues = new Map<string, TabletTarget[]>();
  for (const target of targets) {
    const node = target.nodes[0] ?? '';
    const queue = queues.get(node);
    if (queue === undefined) queues.set(node, [target]);
    else queue.push(target);
  }
  const turns = [...queues.values()];
  const longest = Math.max(0, ...turns.map(({ length }) => length));
  const spreadOut: TabletTarget[] = [];
  for (let start = 0; start < longest; start += RUN) {
    for (const queue of turns) spreadOut.push(...queue.slice(start, start + RUN));
  }
  return spreadOut;
}

function averageOf(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length;
}
