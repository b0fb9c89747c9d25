import type { InClusterPolicy } from '../model/in-cluster.ts';
import type { OffClusterInput } from '../model/off-cluster.ts';
import type { CompiledPlan, PointTime } from '../model/pipeline.ts';
import { historyPipeline } from '../model/safety-backup.ts';

const MINUTE_MS = 60_000;
/** For how many intervals the universe keeps a snapshot, so that a worker that was away still finds it. */
const INTERVALS_KEPT = 4;
const KEPT_AT_LEAST_MS = 4 * 60 * MINUTE_MS;

/**
 * The snapshot schedule that a plan needs in the universe: for history there, for history off the cluster, or for both. Undefined where it needs none.
 */
export function schedulePolicyOf(pointTime: PointTime | undefined): InClusterPolicy | undefined {
  const { inCluster, offCluster } = pointTime ?? {};
  if (offCluster === undefined) return inCluster;
  const { everyMs } = offCluster;
  const keptMs = Math.max(INTERVALS_KEPT * everyMs, KEPT_AT_LEAST_MS);
  return {
    intervalMs: everyMs,
    retentionMs: Math.max(inCluster?.retentionMs ?? 0, keptMs),
    adopt: inCluster?.adopt ?? false,
  };
}

/** Minutes from one search for snapshots to the next: they divide an hour, and are at most a third of the interval. */
const LOOKS_EVERY = [20, 15, 12, 10, 6, 5, 4, 3, 2, 1];

/** When a run searches for snapshots to export, and looks at the schema. Undefined where the plan exports no history. */
export function exportTimesOf({ pointTime }: CompiledPlan): readonly string[] | undefined {
  const everyMs = pointTime?.offCluster?.everyMs;
  if (everyMs === undefined) return undefined;
  const minutes = LOOKS_EVERY.find((each) => each * 3 * MINUTE_MS <= everyMs) ?? 1;
  return [minutes === 1 ? '* * * * *' : `*/${minutes} * * * *`];
}

/** Wishes for events of exports. */
const OF_EXPORTS = /^(?:off-cluster\..*|failure|problems|all)$/;

/**
 * The input of one run that exports. `success` doesn't mean its successes: the recovery window shows them, and nobody would read a message
 * every quarter of an hour.
 */
export function offClusterInput({ name, pipeline, notify }: CompiledPlan): OffClusterInput {
  const targets = (notify ?? []).flatMap((target) => {
    const on = target.on.filter((wish) => OF_EXPORTS.test(wish));
    return on.length === 0 ? [] : [{ ...target, on }];
  });
  return {
    plan: name,
    pipeline: historyPipeline(pipeline),
    ...(targets.length === 0 ? {} : { notify: targets }),
  };
}
