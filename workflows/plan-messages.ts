import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import { APPLY_PLAN } from '../activities/contract.ts';
import type { Act } from '../model/audit.ts';
import type { RestoreRequest, Verdict } from '../model/backup.ts';
import type { CompiledPlan, Discovered } from '../model/pipeline.ts';
import type {
  RecoveryDecision,
  RecoveryRequest,
  RecoveryWindow,
  RestoreMeasurement,
} from '../model/recovery.ts';
import type { PlanSurvey, ScheduleChange } from '../model/survey.ts';
import type { Discovery } from '../planning/discovery.ts';

/**
 * The messages of a plan's entity (workflow `plan`, id `plan:<name>`), and all that clients need to know of it. Each of the six messages
 * that a person sends exists as a signal and as an update. A signal is always accepted, and the entity's page shows what became of it. An
 * update is refused at once if the entity can't act on it. Arguments are JSON that a person types; see docs/operations.md.
 */
export const planWorkflowId = (plan: string): string => `plan:${plan}`;

/** Beginning of the id of a request for a base backup. An archive of changes sends one for each timeline. */
export const BASE_REQUEST = 'archive-';

export const DESCRIPTIONS = {
  backup: 'Back up now. {} or {"requestId": "r-1", "reason": "before the migration"}',
  restore:
    'Restore. {"to": "2026-11-22T10:04:00Z"} beside the original; with "replace": true in its place. Also: backup, nearest, into, tables, reason, requestId, safetyBackup, approval',
  approve: 'Let an overwriting restore begin. {} where one waits, else {"requestId": "…"}',
  pause: 'No scheduled run until resume. {} or {"reason": "…"}',
  resume: 'Scheduled runs again. {}',
  cancel: 'Give up what waits or runs. {} where it is one thing, else {"requestId": "…"}',
} as const;

export type PersonsMessage = keyof typeof DESCRIPTIONS;

export const PERSONS_MESSAGES = Object.keys(DESCRIPTIONS) as readonly PersonsMessage[];

/** What came of a message. */
export interface Receipt {
  readonly requestId: string;
  /** `known`: a request with this id is already under way or done, so nothing is done again. */
  readonly outcome: 'accepted' | 'known';
  /** What became of it, in one sentence. The name stays, since histories and scripts know it. */
  readonly told: string;
  /** The run that carries the request out, or will. */
  readonly workflowId?: string;
}

export const personsSignal = (name: PersonsMessage) => defineSignal<[unknown?]>(name);
export const personsUpdate = (name: PersonsMessage) => defineUpdate<Receipt, [unknown]>(name);

/** Sent by `backup` and `restore` runs of the plan, wherever they come from. */
export const ran = defineSignal<[RunReport]>('ran');
/** Sent by the other runs that change what can be restored: prunes, verifications, drills. */
export const catalogueChanged = defineSignal('catalogueChanged');

/** Sent by `holdfast apply --prune --gone`: the plan of a database that is gone is removed. */
export const forgetDatabase = defineSignal<[string]>('forgetDatabase');

export const applyPlan = defineUpdate<Applied, [Application]>(APPLY_PLAN);
export const removePlan = defineUpdate<Applied, []>('removePlan');

export const planStatus = defineQuery<PlanStatus>('status');
export const recoveryWindow = defineQuery<RecoveryWindow>('recoveryWindow');
export const planRevision = defineQuery<Revision>('revision');

/** A plan as it was applied. */
export interface Revision {
  readonly plan: CompiledPlan;
  /** The set of plans that it belongs to. `apply --prune` removes only plans of its own set. */
  readonly set: string;
  /** Where its runs work unless a request says otherwise. */
  readonly taskQueue: string;
}

/** A change of a plan, as `apply` sends it. */
export interface Application {
  readonly revision: Revision;
  /** The generation that the change was computed against. Refused where another apply has changed it since. 0: not applied yet. */
  readonly after: number;
  /** True: a schedule that was paused by hand stays paused. */
  readonly keepPauses: boolean;
  /** True: the repository that is now in that place is accepted, whatever was there before. */
  readonly newRepository?: boolean;
}

/** What `apply` did. */
export interface Applied {
  readonly generation: number;
  /** What was done to schedules. */
  readonly changes: readonly ScheduleChange[];
}

/** A run's report on itself to its plan. */
export interface RunReport {
  readonly kind: 'backup' | 'restore';
  /** Id of the backup or the restore. */
  readonly id: string;
  readonly workflowId: string;
  readonly state: 'running' | 'done' | 'failed' | 'cancelled';
  /** What became of it, in one sentence. The name stays, since histories and scripts know it. */
  readonly headline: string;
  readonly startedAt: string;
  readonly endedAt?: string;
  readonly overwrites?: boolean;
  /** Figures of a run that ended well. */
  readonly result?: { readonly bytes: number; readonly rows: number | null; readonly verdict?: Verdict };
}

/** Whether a value has the shape of a report. */
export function isRunReport(value: unknown): value is RunReport {
  if (typeof value !== 'object' || value === null) return false;
  const report = value as Readonly<Record<string, unknown>>;
  const texts = [report.id, report.workflowId, report.headline, report.startedAt];
  return (
    texts.every((text) => typeof text === 'string') &&
    (report.kind === 'backup' || report.kind === 'restore') &&
    ['running', 'done', 'failed', 'cancelled'].includes(String(report.state))
  );
}

/** Options that only the command line sends, not a person. */
export type RestoreOptions = Partial<
  Pick<
    RestoreRequest,
    | 'connection'
    | 'contents'
    | 'asNew'
    | 'owner'
    | 'placement'
    | 'globals'
    | 'check'
    | 'indexCheckMs'
    | 'parallelism'
    | 'tolerate'
    | 'takeName'
  >
> & {
  readonly excludeTables?: readonly string[];
  /** Task queue of the run that will do it: that of the worker with the sender's environment. */
  readonly taskQueue?: string;
};

/**
 * How to reach an instant: by a backup, alone or with the archive's changes, by the history that a backup carries, or by the universe's
 * own history.
 */
type WayBack = Exclude<RecoveryDecision, { readonly kind: 'refused' }>;

/** A request that the entity has accepted and not closed yet. */
export interface PlanRequest {
  readonly requestId: string;
  readonly kind: 'backup' | 'restore';
  readonly at: string;
  readonly reason?: string;
  /** Who sent it, as Temporal recorded it. Absent: no name came with it, or it came before names were kept. */
  readonly by?: string;
  /** Who approved it. */
  readonly approvedBy?: string;
  /** What a request for a restore asks for. */
  readonly wish?: RecoveryRequest;
  readonly options?: RestoreOptions;
  readonly state: 'new' | 'awaiting-approval' | 'ready' | 'running';
  /** The decision about a restore; absent until it was made. */
  readonly decision?: WayBack;
  readonly databases?: readonly string[];
  /** Chosen when the request is accepted, so that its run can be found again after any crash. */
  readonly run: { readonly id: string; readonly workflowId: string };
}

/** A request that has ended, and how. */
export interface ClosedRequest {
  readonly requestId: string;
  readonly kind: PlanRequest['kind'];
  readonly at: string;
  readonly closedAt: string;
  readonly outcome: 'done' | 'failed' | 'cancelled' | 'refused';
  readonly told: string;
  readonly workflowId: string;
}

/** A message that was refused, and why. */
export interface Refusal {
  readonly at: string;
  /** Name of the message, if it is known. */
  readonly message: string;
  readonly code: string;
  readonly reason: string;
  readonly remedy: string;
  /** The nearest instants that can be reached. */
  readonly before?: string;
  readonly after?: string;
}

/** The answer to the query for the status of a plan. */
export interface PlanStatus {
  readonly plan: string;
  readonly set: string;
  readonly file: string;
  readonly generation: number;
  readonly appliedAt: string;
  readonly pipelineHash: string;
  readonly taskQueue: string;
  readonly paused: { readonly at: string; readonly reason?: string } | null;
  /** All runs under way, whoever started them. */
  readonly running: readonly RunReport[];
  readonly requests: readonly PlanRequest[];
  /** Newest first. */
  readonly closed: readonly ClosedRequest[];
  readonly refused: { readonly count: number; readonly last: readonly Refusal[] };
  readonly lastBackup: RunReport | null;
  readonly lastFailure: RunReport | null;
  /** The state of storage and schedules when they were last looked at. */
  readonly survey: PlanSurvey | null;
  readonly surveyFailure: { readonly at: string; readonly reason: string } | null;
  /** Id of the plan's repository when it was first read. */
  readonly repositoryId: string | null;
  /** What is now in the place of that repository, a clause; null where it is still that one. */
  readonly strangeRepository: string | null;
  /** What a plan with `discover` has found. */
  readonly discovery?: Discovery;
  /** Present where another plan found this one's database. */
  readonly discovered?: Discovered;
}

/** All that an entity knows; it travels through continue-as-new. */
export interface PlanState {
  readonly revision: Revision;
  /** The task queue on which the entity runs. It changes when the plan is applied to another one. */
  readonly hostedOn?: string;
  readonly generation: number;
  readonly appliedAt: string;
  readonly paused?: { readonly at: string; readonly reason?: string };
  readonly isRemoved?: boolean;
  /** True: the plan has an archive of changes. It is ended when the plan wants none any more. */
  readonly hasArchive?: boolean;
  /** The generation with which the schedules agree. Absent: they must still be written. */
  readonly schedulesOf?: number;
  readonly requests: readonly PlanRequest[];
  readonly closed: readonly ClosedRequest[];
  /** Ids of requests that must not act again, the newest last. */
  readonly seen: readonly string[];
  readonly running: readonly RunReport[];
  /** Runs that are to be cancelled. */
  readonly cancelling?: readonly string[];
  readonly refused: PlanStatus['refused'];
  readonly lastBackup?: RunReport;
  readonly lastFailure?: RunReport;
  readonly survey?: PlanSurvey;
  readonly surveyFailure?: { readonly at: string; readonly reason: string };
  /** Id of the repository that was found when the plan was applied. Any other repository is an alarm until the plan is applied again. */
  readonly repositoryId?: string;
  readonly measurements: readonly RestoreMeasurement[];
  readonly discovery?: Discovery;
  /** What people did by signals that is not in the log of the plan yet. */
  readonly acts?: readonly Act[];
  /** Number of events after which the entity goes on in a new run. Default 2,000; lower in tests. */
  readonly historyEvents?: number;
}
