import type { TabletTarget } from '../../model/tablets.ts';
import type { Tablet, TabletReplica } from './yb-admin/topology.ts';

/** What the last backup knows of a tablet: the replica whose files are stored already, and about how many bytes they are. */
export interface EarlierCopy {
  readonly replica: string;
  readonly bytes: number;
}

/** Assumed size of a tablet if no tablet's size is known. */
const UNKNOWN_BYTES = 64 * 1024 * 1024;

/** Replicas that are whole. */
const WHOLE: ReadonlySet<TabletReplica['role']> = new Set(['LEADER', 'FOLLOWER', 'READ_REPLICA']);

/**
 * Decides which replica each tablet is taken from, and which are tried next. Replicas of one tablet differ in their files, so the replica whose
 * files were stored last time has least to send. Otherwise the node with the least to send so far is taken: voters before read replicas, and the
 * leader if two are equal. Pure. The order of the result spreads neighbouring tablets over nodes.
 *
 * @param snapshotOf the snapshot of a table's database
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
  // Tablets with a stored copy come first, so that the others even out the load that these leave uneven.
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

/** Addresses of the whole replicas, the best to read from first. */
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

/** The replicas of a tablet that are whole, as opposed to those that are still being copied. */
export function wholeReplicas({ replicas }: Tablet): readonly TabletReplica[] {
  return replicas.filter(({ role }) => WHOLE.has(role));
}

/** How many neighbours go to one node as one task, which is the most that `workflows/tablet-transfer.ts` puts into one. */
const RUN = 16;

/** Takes a run of tablets of each node in turn, so that a batch keeps many nodes busy, each with few tasks. */
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
