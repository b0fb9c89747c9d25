import type { ArchiveStanding } from './archive-standing.ts';
import type { Verdict } from './backup.ts';
import type { VerifyLevel } from './pipeline.ts';
import type { RecoveryWindow } from './recovery.ts';

/** The state of a plan, from its storage and its schedules, as its entity and `status` show it. Times are ISO 8601 in UTC. */
export interface PlanSurvey {
  readonly readAt: string;
  /** From `repository.json`. Absent where no repository has been made yet. */
  readonly repositoryId?: string;
  readonly backups: number;
  readonly unusable: number;
  readonly storedBytes: number;
  /** The newest instants; `backups` says how many there are. */
  readonly window: RecoveryWindow;
  /** The newest backup that a verification found good. */
  readonly lastGood?: {
    readonly backup: string;
    readonly instant: string;
    readonly level: VerifyLevel;
    readonly at: string;
  };
  readonly lastVerification?: {
    readonly backup: string;
    readonly level: VerifyLevel;
    readonly verdict: Verdict;
    readonly at: string;
  };
  readonly lastDrill?: {
    readonly backup: string;
    readonly verdict: Verdict;
    readonly at: string;
    readonly restoreMs?: number;
  };
  /** The plan's archive of changes, by database; absent where there is none. */
  readonly archive?: readonly ArchiveStanding[];
  /** Where the plan locks objects: the backup whose needed objects stay locked longest. Both are absent where that isn't known of any backup. */
  readonly locks?: { readonly backup?: string; readonly until?: string };
  /** As in the catalogue. Absent: nothing is signed. */
  readonly signed?: { readonly problems: readonly string[] };
  /** Backups that can't be read or that no trusted key signed, each with what is wrong. */
  readonly suspect?: readonly { readonly backup: string; readonly problem: string }[];
  /** Backups that somebody holds, each with who and why. */
  readonly held?: readonly { readonly backup: string; readonly held: string }[];
  readonly schedules: readonly SurveyedSchedule[];
}

/** A schedule's state in Temporal. */
export interface SurveyedSchedule {
  readonly id: string;
  readonly paused: boolean;
  readonly note?: string;
  /** The next times at which the schedule fires. */
  readonly next: readonly string[];
}

/** What was done to a schedule. */
export interface ScheduleChange {
  readonly schedule: string;
  readonly done: 'created' | 'updated' | 'deleted';
}
