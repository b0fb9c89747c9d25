import { UsageError } from '../model/errors.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import { backupWorkflowId } from '../workflows/messages.ts';
import { isGoverned, requestRun, type Waiting } from './entity-runs.ts';
import { findEntity } from './plan-entities.ts';
import { type RunPlace, runningOf, type StartedRun, startBackup } from './runs.ts';

export interface BackupOptions extends Waiting {
  /** True: another backup is started even if one of the plan is under way. Default: that one is joined. */
  readonly another?: boolean;
  /** True: it transfers outside of the plan's window too. One that is under way keeps its window, and is refused with a `UsageError`. */
  readonly ignoreWindow?: boolean;
}

export interface BegunBackup extends StartedRun {
  /** True: it was under way already. */
  readonly joined: boolean;
}

/**
 * Starts a backup, or joins the plan's own that is under way. If the plan is applied as its file stands, its entity starts it, which makes
 * one at a time.
 */
export async function beginBackup(
  place: RunPlace,
  plan: CompiledPlan,
  options: BackupOptions,
): Promise<BegunBackup> {
  const [underWay] = options.another === true ? [] : await runningOf(place, 'backup', plan.name);
  if (underWay !== undefined && options.ignoreWindow === true) throw keepsItsWindow(plan);
  const workflowId = underWay ?? (await begin(place, plan, options)).workflowId;
  return { workflowId, id: await idOf(place, plan, workflowId), joined: underWay !== undefined };
}

async function begin(
  place: RunPlace,
  plan: CompiledPlan,
  options: BackupOptions,
): Promise<{ readonly workflowId: string }> {
  const { another = false, ignoreWindow = false } = options;
  if (another || ignoreWindow || !(await isGoverned(place, plan)))
    return startBackup(place, plan, ignoreWindow);
  return requestRun(place, plan.name, 'backup', { taskQueue: place.taskQueue }, options);
}

function keepsItsWindow({ name, file }: CompiledPlan): UsageError {
  return new UsageError(
    `A backup of ${name} is under way, and keeps its window.`,
    `Add --new to start another one beside it, or end it with \`holdfast cancel ${file}#${name}\` first.`,
  );
}

/**
 * The id of the backup. A run that a schedule started chose the id itself and reports it to the plan's entity; until then its workflow id
 * stands for it.
 */
async function idOf({ client }: RunPlace, { name }: CompiledPlan, workflowId: string): Promise<string> {
  const prefix = backupWorkflowId(name, '');
  if (workflowId.startsWith(prefix)) return workflowId.slice(prefix.length);
  const entity = await findEntity(client, name);
  return entity?.status.running.find((run) => run.workflowId === workflowId)?.id ?? workflowId;
}
