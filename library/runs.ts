import { randomBytes } from 'node:crypto';
import type { Client } from '@temporalio/client';
import { PLAIN_RESTORE, type RestoreRequest } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import type { InClusterRequest } from '../model/in-cluster.ts';
import type { Audience } from '../model/notification.ts';
import type { CompiledPlan, UniverseSource } from '../model/pipeline.ts';
import type { PruneInput } from '../model/prune.ts';
import { timeInId } from '../model/run-id.ts';
import { safetyBackupId, safetyPipeline } from '../model/safety-backup.ts';
import { drillInput } from '../planning/drill.ts';
import { audienceOf } from '../planning/notification.ts';
import { pruneInputOf } from '../planning/prune.ts';
import {
  type BackupInput,
  backupWorkflowId,
  drillWorkflowId,
  pruneWorkflowId,
  restoreWorkflowId,
  type VerifyInput,
  verifyWorkflowId,
} from '../workflows/messages.ts';
import { runAttributes, runPriority } from '../workflows/run-attributes.ts';

/** Where to start runs. */
export interface RunPlace {
  readonly client: Client;
  /** Task queue of the workers that do them. */
  readonly taskQueue: string;
  /** Told what does not stop the work, a sentence each. */
  readonly tell?: (sentence: string) => void;
  /** Called at intervals while a run is waited for. */
  readonly keepAlive?: () => Promise<void>;
}

/** The id of a backup that a command starts. It sorts by time, and a random part distinguishes two of the same second. */
export function newBackupId(now: Date): string {
  return `${timeInId(now.toISOString())}-${randomBytes(3).toString('hex')}`;
}

/** The id of a restore: short, and safe in a database name. */
export function newRestoreId(now: Date): string {
  return `${timeInId(now.toISOString()).toLowerCase()}_${randomBytes(2).toString('hex')}`;
}

export interface StartedRun {
  /** Id of the backup or of the restore. */
  readonly id: string;
  readonly workflowId: string;
}

/** Starts a backup without the plan's entity. @param ignoreWindow true: it transfers outside of the plan's window too */
export async function startBackup(
  place: RunPlace,
  plan: CompiledPlan,
  ignoreWindow = false,
): Promise<StartedRun> {
  const { pipeline } = plan;
  const id = newBackupId(new Date());
  const input: BackupInput = {
    pipeline,
    backup: id,
    ...defined({ notify: plan.notify, window: ignoreWindow ? undefined : plan.window }),
  };
  const workflowId = backupWorkflowId(plan.name, id);
  await place.client.workflow.start('backup', {
    workflowId,
    taskQueue: place.taskQueue,
    args: [input],
    staticSummary: `Backup of ${plan.name} (${pipeline.source.engine}) into ${pipeline.repository.name}`,
    staticDetails: `Plan file: ${plan.file}\n\nPipeline ${pipeline.hash.slice(0, 12)}: ${pipeline.steps.map((step) => step.id).join(' → ')}`,
    typedSearchAttributes: runAttributes(plan),
    ...runPriority(plan),
  });
  return { id, workflowId };
}

/** The options of a restore. All but `backup` have a default. */
export type RestoreWishes = {
  readonly backup: string;
  /** False: nothing is backed up before it is overwritten. */
  readonly safety?: boolean;
} & Partial<
  Omit<RestoreRequest, 'restore' | 'from' | 'source' | 'scratch' | 'safetyBackup' | keyof Audience>
>;

/** Starts a restore without the plan's entity. */
export async function startRestore(
  place: RunPlace,
  plan: CompiledPlan,
  { backup, safety = true, ...wishes }: RestoreWishes,
): Promise<StartedRun> {
  const now = new Date();
  const request: RestoreRequest = {
    restore: newRestoreId(now),
    from: { repository: plan.pipeline.repository, plan: plan.name, backup },
    source: plan.pipeline.source,
    ...PLAIN_RESTORE,
    parallelism: 2,
    ...wishes,
    scratch: false,
    ...(wishes.replace && safety
      ? {
          safetyBackup: { backup: safetyBackupId(newBackupId(now)), pipeline: safetyPipeline(plan.pipeline) },
        }
      : {}),
    ...audienceOf(plan),
  };
  const workflowId = restoreWorkflowId(plan.name, request.restore);
  await place.client.workflow.start('restore', {
    workflowId,
    taskQueue: place.taskQueue,
    args: [request],
    staticSummary: `Restore of ${plan.name} from backup ${backup}`,
    typedSearchAttributes: runAttributes(plan),
  });
  return { id: request.restore, workflowId };
}

/** Starts a rewind or a clone of all databases and keyspaces that the plan names. */
export async function startInClusterRestore(
  place: RunPlace,
  plan: CompiledPlan,
  source: UniverseSource,
  wishes: Pick<InClusterRequest, 'way' | 'instant' | 'safetySnapshot' | 'breakOthers'> & {
    readonly names: readonly string[];
    /** Names of clones, by the names of the originals. Default: `<name>_restored_<id>`. */
    readonly into: Readonly<Record<string, string>>;
  },
): Promise<StartedRun> {
  const { names, into, ...wish } = wishes;
  const restore = newRestoreId(new Date());
  const nameOf = (from: string) =>
    wish.way === 'rewind' ? from : (into[from] ?? `${from}_restored_${restore}`);
  const request: InClusterRequest = {
    ...wish,
    plan: plan.name,
    restore,
    source,
    repository: plan.pipeline.repository,
    databases: names.map((from) => ({ from, to: nameOf(from) })),
    ...audienceOf(plan),
  };
  const workflowId = restoreWorkflowId(plan.name, restore);
  await place.client.workflow.start('inClusterRestore', {
    workflowId,
    taskQueue: place.taskQueue,
    args: [request],
    staticSummary: `${wish.way === 'rewind' ? 'Rewind' : 'Clone'} of ${plan.name} to ${wish.instant}`,
    typedSearchAttributes: runAttributes(plan),
  });
  return { id: restore, workflowId };
}

/** Starts a drill. @param backup the one to restore; absent: the plan's choice */
export async function startDrill(place: RunPlace, plan: CompiledPlan, backup?: string): Promise<StartedRun> {
  const id = newRestoreId(new Date());
  const workflowId = drillWorkflowId(plan.name, id);
  await place.client.workflow.start('drill', {
    workflowId,
    taskQueue: place.taskQueue,
    args: [drillInput(plan, backup)],
    staticSummary: `Drill of ${plan.name}, ${backup ?? `the ${plan.drill?.backup ?? 'latest'} backup`}`,
    typedSearchAttributes: runAttributes(plan),
  });
  return { id, workflowId };
}

/** Starts a verification of one backup. */
export async function startVerify(
  place: RunPlace,
  plan: CompiledPlan,
  backup: string,
  level: VerifyInput['level'],
  wishes: Pick<VerifyInput, 'archive'> = {},
): Promise<StartedRun> {
  const { source, repository } = plan.pipeline;
  const ref = { repository, plan: plan.name, backup };
  const input: VerifyInput = { ref, level, source, ...wishes, ...audienceOf(plan) };
  const workflowId = verifyWorkflowId(plan.name, backup, level);
  await place.client.workflow.start('verify', {
    workflowId,
    taskQueue: place.taskQueue,
    args: [input],
    // If a verification of this backup at this level is already under way, the command follows that one.
    workflowIdConflictPolicy: 'USE_EXISTING',
    staticSummary: `Verification of ${plan.name} ${backup}, level ${level}`,
    typedSearchAttributes: runAttributes(plan),
  });
  return { id: backup, workflowId };
}

/** Starts a prune. If one of this plan is already under way, the command follows that one. */
export async function startPrune(
  place: RunPlace,
  plan: CompiledPlan,
  wishes: Pick<PruneInput, 'orphanGraceMs'>,
): Promise<StartedRun> {
  const input: PruneInput = { ...pruneInputOf(plan), ...wishes };
  const workflowId = pruneWorkflowId(plan.name);
  await place.client.workflow.start('prune', {
    workflowId,
    taskQueue: place.taskQueue,
    args: [input],
    workflowIdConflictPolicy: 'USE_EXISTING',
    staticSummary: `Retention of ${plan.name}`,
    typedSearchAttributes: runAttributes(plan),
  });
  return { id: plan.name, workflowId };
}

/** Ids of the plan's runs of `type` that are under way, the oldest first. */
export async function runningOf(
  place: RunPlace,
  type: 'backup' | 'restore',
  plan: string,
): Promise<string[]> {
  const query = `WorkflowType="${type}" AND ExecutionStatus="Running" AND BackupPlan="${plan}"`;
  const found: { readonly id: string; readonly startTime: Date }[] = [];
  for await (const run of place.client.workflow.list({ query })) {
    found.push({ id: run.workflowId, startTime: run.startTime });
  }
  return found.sort((a, b) => a.startTime.getTime() - b.startTime.getTime()).map(({ id }) => id);
}
