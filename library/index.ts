/**
 * Holdfast as a library: what the command line does, for programs. docs/library.md has an example and says what stays.
 *
 * Nothing here writes to stdout or stderr, ends the process or reads `process.env`: what a function may look at, and whom it tells, is given
 * to it. Whatever fails is a `HoldfastError` with `code`, `message` and `remedy`. Times are ISO 8601 in UTC.
 *
 * The parts are loaded when they are called, so that a program that only checks plans loads neither a store nor Temporal.
 */
import type { BackupSummary, RestoreSummary, SchemaReport, VerifyReport } from '../model/backup.ts';
import type { InClusterSummary } from '../model/in-cluster.ts';
import type { Manifest } from '../model/manifest.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import type { RecoveryRequest } from '../model/recovery.ts';
import type { BackupOutcome } from '../workflows/messages.ts';
import type { Receipt } from '../workflows/plan-messages.ts';
import type { Access } from './access.ts';
import type { BackupOptions } from './begin-backup.ts';
import { typed } from './errors.ts';
import type { ExplainedRestore, RestoreTarget } from './explain-restore.ts';
import type { ExplainedPlan } from './explained-plan.ts';
import type { PlanListing } from './listing.ts';
import type { RestoreRequestByOthers } from './request-restore.ts';
import type { RestoreOptions } from './restoring.ts';
import type { RunHandle } from './run-handle.ts';
import type { RunLog } from './run-log.ts';
import type { RunPlace } from './runs.ts';
import type { AppliedStatus, UnappliedStatus } from './status.ts';
import type { ConnectOptions, Temporal } from './temporal.ts';
import type { Validation } from './validation.ts';
import type { Verification, VerificationLevel } from './verification.ts';
import type { PlanWindow } from './window.ts';

export { HoldfastError, UsageError } from '../model/errors.ts';
export type { ErrorDocument } from './errors.ts';
export type { ListedBackup } from './listing.ts';
export type { RunView } from './run-handle.ts';
export type { ValidationDocument } from './validation.ts';
export type {
  Access,
  AppliedStatus,
  BackupOptions,
  CompiledPlan,
  ConnectOptions,
  ExplainedPlan,
  ExplainedRestore,
  InClusterSummary,
  Manifest,
  PlanListing,
  PlanWindow,
  Receipt,
  RecoveryRequest,
  RestoreOptions,
  RestoreRequestByOthers,
  RestoreSummary,
  RestoreTarget,
  RunHandle,
  RunLog,
  RunPlace,
  SchemaReport,
  Temporal,
  UnappliedStatus,
  Validation,
  Verification,
  VerificationLevel,
  VerifyReport,
};

/** Checks plan files, or directories of them: every error of every file, at its place. Never throws for what stands in a file. */
export function validate(files: readonly string[]): Promise<Validation> {
  return typed(async () => (await import('./validation.ts')).validateFiles(files));
}

/**
 * Checks the text of a plan file that is not written yet.
 *
 * @param folder whose files lend it their repositories. Default: `plans`
 */
export function validateText(text: string, folder = 'plans'): Promise<Validation> {
  return typed(async () => (await import('./validation.ts')).validateText(text, folder));
}

/**
 * A plan, compiled: by its file (`plans/orders.yaml`, with `#name` where it holds several), or by its name in a file of `folder`.
 *
 * @param folder Default: `plans`
 * @throws UsageError where there is no such plan, or its file has errors
 */
export function openPlan(plan: string, folder?: string): Promise<CompiledPlan> {
  return typed(async () => (await import('./plan-files.ts')).resolvePlan(plan, folder));
}

/** The plan of this name in a file of `folder`. Never reads a file outside it, whatever the name is. Throws as `openPlan`. */
export function openPlanNamed(name: string, folder: string): Promise<CompiledPlan> {
  return typed(async () => (await import('./plan-files.ts')).planByName(name, folder));
}

/** Every plan of the files in a folder. Throws as `openPlan`. @param folder Default: `plans` */
export function openPlans(folder?: string): Promise<readonly CompiledPlan[]> {
  return typed(async () => (await import('./plan-files.ts')).resolvePlans(folder));
}

/** What a plan compiles to: steps, activities, queues, retries, timeouts; and where each value came from. @param options `taskQueue`: default `holdfast` */
export function explain(
  plan: CompiledPlan,
  options: { readonly taskQueue?: string | undefined } = {},
): Promise<ExplainedPlan> {
  return typed(async () => {
    const { explainPlan } = await import('./explained-plan.ts');
    const { originsOf } = await import('../compiler/origins.ts');
    const { sourcesOf } = await import('./plan-files.ts');
    return explainPlan(plan, originsOf(plan, sourcesOf(plan)), options.taskQueue);
  });
}

/** A plan's backups, newest first, with what was last verified of each. */
export function list(plan: CompiledPlan, access: Access): Promise<PlanListing> {
  return typed(async () => (await import('./listing.ts')).listPlan(access, plan));
}

/** What one backup holds: its manifest. Tells where no trusted key signed it. Throws `UsageError` where there is no such backup. */
export function show(plan: CompiledPlan, backup: string, access: Access): Promise<Manifest> {
  return typed(async () => (await (await import('./backups.ts')).readBackup(access, plan, backup)).manifest);
}

/** To which instants a plan can be brought back, and what its archive of changes holds. */
export function window(plan: CompiledPlan, access: Access): Promise<PlanWindow> {
  return typed(async () => (await import('./window.ts')).readWindow(access, plan));
}

/** What a restore would do: from which backup, why, at what cost. Or why it can't be done. Restores nothing. */
export function explainRestore(
  plan: CompiledPlan,
  request: RecoveryRequest,
  access: Access,
  target?: RestoreTarget,
): Promise<ExplainedRestore> {
  return typed(async () =>
    (await import('./explain-restore.ts')).explainRestoreOf(access, plan, request, target),
  );
}

/** Connects to a Temporal server that runs already. Close it at the end. Throws `TEMPORAL_UNREACHABLE` (transient). */
export function connect(options: ConnectOptions): Promise<Temporal> {
  return typed(async () => (await import('./temporal.ts')).connectTo(options));
}

/** The status of every plan that is applied. */
export function statuses(temporal: RunPlace): Promise<readonly AppliedStatus[]> {
  return typed(async () => (await import('./status.ts')).appliedStatuses(temporal.client));
}

/** What of a plan runs, waits and comes next. Of one that is not applied: what its repository holds, and what runs. */
export function status(
  temporal: RunPlace,
  plan: CompiledPlan,
  access: Access,
): Promise<AppliedStatus | UnappliedStatus> {
  return typed(async () => {
    const { appliedStatus, unappliedStatus } = await import('./status.ts');
    const applied = await appliedStatus(temporal.client, plan.name);
    return applied ?? (await unappliedStatus(access, temporal.client, plan));
  });
}

/**
 * What happened in a run, in order: stages, attempts with their errors, messages, its end.
 *
 * @param run the workflow id of a run, or the name of a plan, whose newest run is meant
 * @param planName gives the plan's name where `run` is no workflow id; by default `run` itself
 */
export function logs(
  temporal: RunPlace,
  run: string,
  planName: () => Promise<string> = async () => run,
): Promise<RunLog> {
  return typed(async () => (await import('./run-log.ts')).readLog(temporal, run, planName));
}

/** A run by its workflow id, to follow it or to wait for its end. */
export function runById<Result = unknown>(
  temporal: RunPlace,
  workflowId: string,
): Promise<RunHandle<Result>> {
  return typed(async () => (await import('./run-handle.ts')).runOf<Result>(temporal, workflowId));
}

/** A backup that is complete. Field names are those of `backup --json`. */
export type BackupDocument = BackupSummary & {
  /** `OK`: a verify step of the plan passed. `INCONCLUSIVE`: the plan has none. */
  readonly verdict: 'OK' | 'INCONCLUSIVE';
  /** The levels at which it was verified. */
  readonly verified: readonly VerifyReport['level'][];
  /** How many read points were used. */
  readonly epochs: number;
  readonly durationMs: number;
};

/** A backup that was started or joined. */
export type BackupRun = RunHandle<BackupDocument> & {
  /** Id of the backup. */
  readonly id: string;
  /** True: it was under way already. */
  readonly joined: boolean;
};

/**
 * Starts a backup, or joins the plan's own that is under way. Returns when it has begun; with `detach` as soon as it is accepted. If the plan
 * is applied as its file stands, its entity starts it.
 */
export function startBackup(
  temporal: RunPlace,
  plan: CompiledPlan,
  options: BackupOptions = {},
): Promise<BackupRun> {
  return typed(async () => {
    const { beginBackup } = await import('./begin-backup.ts');
    const { runOf } = await import('./run-handle.ts');
    const { workflowId, id, joined } = await beginBackup(temporal, plan, options);
    return { ...runOf(temporal, workflowId, backupDocument), id, joined };
  });
}

function backupDocument({ summary, verifications, epochs, durationMs }: BackupOutcome): BackupDocument {
  return {
    ...summary,
    verdict: verifications.length === 0 ? 'INCONCLUSIVE' : 'OK',
    verified: verifications.map(({ level }) => level),
    epochs,
    durationMs,
  };
}

/** A restore that was started. */
export type RestoreRun = RunHandle<RestoreSummary | InClusterSummary> & {
  /** Id of the restore. */
  readonly id: string;
};

/**
 * Starts a restore: into a new database, or with `replace` in the original's place. If the plan is applied as its file stands, its entity
 * starts it, and there one that overwrites waits for a person's approval, unless the plan says otherwise. Returns when it has begun; with
 * `detach` as soon as it is accepted.
 *
 * @throws HoldfastError where nothing can be restored so (`NO_BACKUP`, `INSTANT_NOT_EXACT` …), before anything is started
 */
export function startRestore(
  temporal: RunPlace,
  plan: CompiledPlan,
  options: RestoreOptions,
  access: Access,
): Promise<RestoreRun> {
  return typed(async () => {
    const { restoreAsAsked } = await import('./restoring.ts');
    const { runOf } = await import('./run-handle.ts');
    const { workflowId, id } = await restoreAsAsked(access, temporal, plan, options);
    return { ...runOf<RestoreSummary | InClusterSummary>(temporal, workflowId), id };
  });
}

/**
 * Asks a plan's entity for a restore that begins only once a person has approved it, even where the plan's own need no approval.
 *
 * @throws HoldfastError `PLAN_NOT_APPLIED` (permanent), or why the entity refuses it
 */
export function requestRestore(
  temporal: RunPlace,
  plan: string,
  request: RestoreRequestByOthers,
): Promise<Receipt> {
  return typed(async () =>
    (await import('./request-restore.ts')).requestRestoreOf(temporal.client, plan, request),
  );
}

/** What to verify: the backup that is named, or else the newest, and then the plan's archive of changes with it. */
export function verificationFor(
  plan: CompiledPlan,
  wish: { readonly backup?: string | undefined; readonly level: VerificationLevel },
  access: Access,
): Promise<Verification> {
  return typed(async () =>
    (await import('./verification.ts')).verificationOf(access, plan, wish.backup, wish.level),
  );
}

/** Starts a verification, or joins one of the same backup at the same level that is under way. Its verdict goes into the repository. */
export function startVerify(
  temporal: RunPlace,
  plan: CompiledPlan,
  { backup, level, archive }: Verification,
): Promise<RunHandle<VerifyReport | SchemaReport>> {
  return typed(async () => {
    const { startVerify: start } = await import('./runs.ts');
    const { runOf } = await import('./run-handle.ts');
    const { workflowId } = await start(temporal, plan, backup, level, archive ? { archive } : {});
    return runOf<VerifyReport | SchemaReport>(temporal, workflowId);
  });
}
