import { tabletSource } from '../model/engine-kind.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import { isGoverned, requestRun, type Waiting } from './entity-runs.ts';
import {
  type RestoreWishes,
  type RunPlace,
  type StartedRun,
  startInClusterRestore,
  startRestore,
} from './runs.ts';

export interface BegunRestore extends StartedRun {
  /** The request at the plan's entity, where that was asked. */
  readonly requestId?: string;
}

/**
 * Starts a restore of a backup. If the plan is applied as its file stands, its entity starts it, and there an overwriting restore waits for
 * approval; otherwise this does.
 *
 * @param options `pastEntity`: the entity is not asked
 */
export async function beginRestore(
  place: RunPlace,
  plan: CompiledPlan,
  wishes: RestoreWishes,
  options: Waiting & { readonly pastEntity?: boolean },
): Promise<BegunRestore> {
  if (options.pastEntity === true || !(await isGoverned(place, plan)))
    return startRestore(place, plan, wishes);
  const { backup, at, into, replace, safety, tables, breakOthers, replay, ...given } = wishes;
  const wish = {
    // The entity chooses the recovery method itself, so it is given either `to` or `backup`, never both.
    ...(at !== undefined ? { to: at } : replay === undefined ? { backup } : { to: replay.to }),
    ...(replace ? { replace, safetyBackup: safety !== false } : { into }),
    ...(breakOthers === true ? { breakOthers } : {}),
    ...(tables === undefined || tables.include.length === 0 ? {} : { tables: tables.include }),
  };
  return ask(place, plan, wish, { ...given, excludeTables: tables?.exclude ?? [] }, options);
}

/** A restore by a universe's own history. */
export interface WayInCluster {
  readonly way: 'rewind' | 'clone';
  readonly instant: string;
  /** Names of clones, by the names of the originals. Default: `<name>_restored_<id>`. */
  readonly into: Readonly<Record<string, string>>;
  /** False: no snapshot is taken before a rewind. */
  readonly safety: boolean;
  readonly breakOthers?: true;
}

/** Starts a restore by the universe's own history, as `beginRestore` does. Reads no backup. */
export async function beginInCluster(
  place: RunPlace,
  plan: CompiledPlan,
  { way, instant, into, safety, ...breaking }: WayInCluster,
  options: Waiting,
): Promise<BegunRestore> {
  const source = tabletSource(plan.pipeline.source);
  if (source === undefined) throw new TypeError('only a universe has history of its own');
  if (await isGoverned(place, plan)) {
    const how = way === 'rewind' ? { replace: true, safetyBackup: safety, ...breaking } : { into };
    return ask(place, plan, { to: instant, ...how }, {}, options);
  }
  const names = namesInHistory(plan);
  return startInClusterRestore(place, plan, source, {
    way,
    instant,
    into,
    names,
    safetySnapshot: safety,
    ...breaking,
  });
}

/** Names of the databases and keyspaces of which a universe keeps history for the plan. */
export function namesInHistory({ pipeline }: CompiledPlan): readonly string[] {
  const source = tabletSource(pipeline.source);
  return source === undefined ? [] : [...source.databases, ...source.keyspaces];
}

async function ask(
  place: RunPlace,
  plan: CompiledPlan,
  wish: object,
  given: object,
  waiting: Waiting,
): Promise<BegunRestore> {
  const argument = { ...wish, options: { ...given, taskQueue: place.taskQueue } };
  const { requestId, workflowId } = await requestRun(place, plan.name, 'restore', argument, waiting);
  return { id: workflowId.slice(workflowId.lastIndexOf(':') + 1), workflowId, requestId };
}
