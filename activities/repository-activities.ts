import { activityInfo } from '@temporalio/activity';
import { type VerifyProgress, verifyBackup } from '../repository/backups/verify.ts';
import { forHistory, readCatalogue } from '../repository/catalogue.ts';
import { copyBackup } from '../repository/copy.ts';
import { recordReport } from '../repository/ledger.ts';
import type { Activities } from './contract.ts';
import type { Pins } from './pins.ts';
import type { Repositories } from './repositories.ts';
import { asActivity } from './run-activity.ts';

/** After this many attempts at a store that is down, about two minutes, a verification gives the verdict INCONCLUSIVE. */
const PATIENT_ATTEMPTS = 8;

/** The activities that need only the repository: verification and copies. */
export function repositoryActivities(
  repositories: Repositories,
  pins: Pins,
): Pick<Activities, 'verify' | 'recordVerification' | 'catalogue' | 'copy'> {
  return {
    verify: ({ ref, level }) =>
      asActivity(async (verb) => {
        const store = await repositories.open(ref.repository);
        const resume = activityInfo().heartbeatDetails as VerifyProgress | undefined;
        const { signal, heartbeat: progress, attempt } = verb;
        const throwsTransient = attempt < PATIENT_ATTEMPTS;
        const report = await pins.whilePinned(ref, () =>
          verifyBackup(store, ref, level, { resume, signal, progress, throwsTransient }),
        );
        await recordReport(store, report);
        return report;
      }),

    recordVerification: ({ ref, report }) =>
      asActivity(async () => {
        await recordReport(await repositories.open(ref.repository), report);
      }),

    catalogue: ({ repository, plan }) =>
      asActivity(async (verb) => {
        const store = await repositories.look(repository);
        return forHistory(await readCatalogue(store, repository, plan, { signal: verb.signal }));
      }),

    copy: ({ ref, to }) =>
      asActivity(async (verb) => {
        const source = await repositories.open(ref.repository);
        const target = await repositories.open(to);
        return pins.whilePinned(ref, () =>
          copyBackup(source, target, ref, { signal: verb.signal, progress: verb.heartbeat }),
        );
      }),
  };
}
