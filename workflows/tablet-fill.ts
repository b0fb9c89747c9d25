import type { RestoreRequest } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import type { UniverseSource } from '../model/pipeline.ts';
import type { FillBatch, TabletFill } from '../model/tablets.ts';
import { DAY_MS } from '../model/time.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import { reportToParent } from './children.ts';
import { nodeActivitiesOf } from './node-activities.ts';
import { inParallel } from './scopes.ts';

interface TabletFillInput {
  /** `fill` puts the files in place; `check` only looks whether they are there. */
  readonly what: 'fill' | 'check';
  readonly request: RestoreRequest;
  readonly source: UniverseSource;
  readonly round: number;
  readonly shard: number;
  /** Reports to the parent after this many tablets. */
  readonly reportEvery: number;
  /** Bytes per second that one node may fetch. */
  readonly bytesPerSecond?: number;
}

const TABLETS_PER_TASK = { fill: 16, check: 250 } as const;
const TASKS_AT_ONCE = 200;

/**
 * Fills, or checks, one batch of tablets on every node that has a replica. A child of `restore`, so that the parent's history
 * stays small. Returns how many pairs of tablet and node are not filled.
 */
export async function tabletFill(input: TabletFillInput): Promise<number> {
  const { what, request, source, round, shard } = input;
  const worker = activitiesFor({
    summary: 'read where files belong',
    retry: PATIENT_RETRY,
    timeoutMs: DAY_MS,
  });
  const tasks = tasksOf(await worker.describeFill({ request, round, shard }), TABLETS_PER_TASK[what]);
  const ref = request.from;
  const sum = { shard, tasksDone: 0, rows: 0, bytes: 0, storedBytes: 0 };
  let reported = 0;
  let unfilled = 0;
  const report = async (): Promise<void> => {
    reported = sum.tasksDone;
    if (what !== 'check') await reportToParent({ ...sum });
  };
  await inParallel(tasks.length, TASKS_AT_ONCE, async (index) => {
    const task = tasks[index];
    if (task === undefined) return;
    const { node, server, tablets } = task;
    const expected = defined({ server });
    const agent = nodeActivitiesOf({
      node,
      summary: `${what} ${tablets.length} tablets on ${node}`,
      retry: PATIENT_RETRY,
      timeoutMs: DAY_MS,
      // No other node can do this work, so the call waits for the agent long enough for a person to start it again.
      agentMs: Math.max(source.patience.agentMs, DAY_MS / 24),
    });
    if (what === 'check') {
      unfilled += (await agent.unfilledTablets({ ref, tablets, ...expected })).length;
      return;
    }
    const { limits } = source;
    const share = defined({ bytesPerSecond: input.bytesPerSecond });
    const summary = await agent.fillTablets({ ref, tablets, limits, ...share, ...expected });
    unfilled += summary.left.length;
    sum.tasksDone += summary.filled;
    sum.bytes += summary.bytes;
    sum.storedBytes += summary.fetchedBytes;
    if (sum.tasksDone - reported >= input.reportEvery) await report();
  });
  await report();
  return unfilled;
}

interface Task {
  /** `host:port` */
  readonly node: string;
  /** UUID of the tablet server. */
  readonly server?: string;
  readonly tablets: readonly TabletFill[];
}

function tasksOf({ nodes, servers, tables, tablets }: FillBatch, tabletsPerTask: number): readonly Task[] {
  const byNode = new Map<number, TabletFill[]>();
  for (const { id, from, list, table: place, nodes: places } of tablets) {
    const table = tables[place];
    if (table === undefined) throw new RangeError(`tablet ${id} is of no table of its batch`);
    for (const each of places) {
      if (nodes[each] === undefined) throw new RangeError(`tablet ${id} is on no node of its batch`);
      const ofNode = byNode.get(each) ?? [];
      ofNode.push({ tablet: id, ...table, from, list });
      byNode.set(each, ofNode);
    }
  }
  return [...byNode].flatMap(([place, ofNode]) => {
    const server = servers?.[place];
    return Array.from({ length: Math.ceil(ofNode.length / tabletsPerTask) }, (_, task) => ({
      node: nodes[place] ?? '',
      ...defined({ server }),
      tablets: ofNode.slice(task * tabletsPerTask, (task + 1) * tabletsPerTask),
    }));
  });
}
