import { type BackupFate, fatesOf, judgeByStorage } from '../../activities/prune.ts';
import { archiveStandings } from '../../engines/ysql/archive/window.ts';
import { withStore } from '../../library/backups.ts';
import type { ArchiveStanding } from '../../model/archive-standing.ts';
import type { VerifyReport } from '../../model/backup.ts';
import { HoldfastError } from '../../model/errors.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { Catalogue } from '../../model/recovery.ts';
import { pruneInputOf } from '../../planning/prune.ts';
import { readCatalogue } from '../../repository/catalogue.ts';
import { readReports } from '../../repository/ledger.ts';
import { HERE } from '../here.ts';

/** Most verifications that are shown for one backup, from the newest on. */
const MAX_REPORTS = 20;

/** Most backups whose verifications are shown. */
const MAX_BACKUPS = 400;

/** All that a report shows of one plan. */
export interface PlanReport {
  readonly plan: CompiledPlan;
  readonly catalogue: Catalogue;
  /** Newest instant first, as the catalogue. */
  readonly fates: readonly BackupFate[];
  /** Verifications and drills, the newest first. */
  readonly history: readonly VerifyReport[];
  /** The archive of changes, by database; empty where there is none. */
  readonly archive: readonly ArchiveStanding[];
}

/** A plan whose repository can't be read, with the reason, which the report shows. */
export interface UnreadPlan {
  readonly plan: CompiledPlan;
  readonly problem: string;
  readonly remedy: string;
}

/** Reads a plan's repository. An error of the store becomes part of the report, so that other plans are still shown. */
export async function reportOnPlan(plan: CompiledPlan, now: Date): Promise<PlanReport | UnreadPlan> {
  const { repository } = plan.pipeline;
  try {
    return await withStore(HERE, repository, async (store) => {
      const catalogue = await readCatalogue(store, repository, plan.name);
      const fates = fatesOf(await judgeByStorage(store, pruneInputOf(plan), now));
      const history: VerifyReport[] = [];
      for (const { backup } of catalogue.entries.slice(0, MAX_BACKUPS)) {
        let shown = 0;
        for await (const report of readReports(store, { plan: plan.name, backup })) {
          history.push(report);
          if (++shown === MAX_REPORTS) break;
        }
      }
      history.sort((one, other) => Date.parse(other.finishedAt) - Date.parse(one.finishedAt));
      const archive = await archiveStandings(store, plan.name);
      return { plan, catalogue, fates, history, archive };
    });
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return { plan, problem: error.message, remedy: error.remedy };
  }
}
