import { type BackupFate, fatesOf, judge } from '../../activities/prune.ts';
import type { VerifyReport } from '../../model/backup.ts';
import { HoldfastError } from '../../model/errors.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { Catalogue } from '../../model/recovery.ts';
import { pruneInputOf } from '../../planning/prune.ts';
import { readCatalogue } from '../../repository/catalogue.ts';
import { readReports } from '../../repository/ledger.ts';
import { withStore } from '../backups.ts';

/** Verifications told of one backup, counted from the newest. */
const REPORTS_TOLD = 20;

/** Backups whose verifications are told. */
const BACKUPS_TOLD = 400;

/** All that a report says of one plan. */
export interface PlanReport {
  readonly plan: CompiledPlan;
  readonly catalogue: Catalogue;
  /** Newest instant first, as the catalogue. */
  readonly fates: readonly BackupFate[];
  /** Verifications and drills, the newest first. */
  readonly history: readonly VerifyReport[];
}

/** A plan whose repository can't be read, told rather than left out. */
export interface UnreadPlan {
  readonly plan: CompiledPlan;
  readonly problem: string;
  readonly remedy: string;
}

/** Reads a plan's repository. What concerns the store is told in the report, so that one store does not hide the others. */
export async function reportOnPlan(plan: CompiledPlan, now: Date): Promise<PlanReport | UnreadPlan> {
  const { repository } = plan.pipeline;
  try {
    return await withStore(repository, async (store) => {
      const catalogue = await readCatalogue(store, repository, plan.name);
      // Whether a reader's run still goes on is for Temporal to say: here it is believed.
      const isLive = async (pin: { readonly expiresAt: string }) => Date.parse(pin.expiresAt) > now.getTime();
      const fates = fatesOf(await judge(store, pruneInputOf(plan), { now, isLive }));
      const history: VerifyReport[] = [];
      for (const { backup } of catalogue.entries.slice(0, BACKUPS_TOLD)) {
        let told = 0;
        for await (const report of readReports(store, { plan: plan.name, backup })) {
          history.push(report);
          if (++told === REPORTS_TOLD) break;
        }
      }
      history.sort((one, other) => Date.parse(other.finishedAt) - Date.parse(one.finishedAt));
      return { plan, catalogue, fates, history };
    });
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return { plan, problem: error.message, remedy: error.remedy };
  }
}
