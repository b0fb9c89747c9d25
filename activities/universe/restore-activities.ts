import { activityInfo } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import type { RestoreRequest, Verdict } from '../../model/backup.ts';
import { permanent } from '../../model/errors.ts';
import { inBackup } from '../backup-context.ts';
import { type Activities, UNIVERSE_QUIET } from '../contract.ts';
import type { Pins } from '../pins.ts';
import type { Repositories } from '../repositories.ts';
import { stopped } from '../verb-context.ts';
import type { UniverseRestore } from './restore/context.ts';
import { discardUniverse, finishUniverse, forgetRestore, refuseIfEnded } from './restore/finish.ts';
import { placeFills, readFillShard } from './restore/place.ts';
import { planUniverseRestore } from './restore/plan.ts';
import { prepareUniverse } from './restore/prepare.ts';
import { beQuiet, endQuiet } from './restore/quiet.ts';
import { restoreAll } from './restore/restoration.ts';

type RestoreActivities = Pick<
  Activities,
  | 'planUniverseRestore'
  | 'keepUniverseQuiet'
  | 'endUniverseQuiet'
  | 'prepareUniverse'
  | 'placeFills'
  | 'describeFill'
  | 'restoreSnapshots'
  | 'finishUniverse'
  | 'forgetRestore'
  | 'discardUniverse'
>;

/** The stages of the restore of a universe, as far as a worker does them. */
export function universeRestoreActivities(
  repositories: Repositories,
  pins: Pins,
  client: Client,
): RestoreActivities {
  const inRestore = <T>(
    request: RestoreRequest,
    body: (restore: UniverseRestore) => Promise<T>,
  ): Promise<T> =>
    inBackup(repositories, request.from, async (context) => {
      const { source } = request;
      const { manifest } = await repositories.backup(request.from);
      if (source.engine !== 'universe' || manifest.universe === undefined) {
        throw permanent(
          'RESTORE_OTHER_ENGINE',
          `The backup ${request.from.backup} is none of a universe`,
          'Restore it with the plan that made it.',
        );
      }
      return body({ ...context, manifest, request: { ...request, source } });
    });

  return {
    planUniverseRestore: ({ request }) =>
      inRestore(request, async (restore) => {
        // From here to the restore's end retention leaves the backup alone.
        await pins.pin(request.from);
        await refuseIfEnded(restore);
        return planUniverseRestore(restore);
      }),
    endUniverseQuiet: ({ request }) => inRestore(request, endQuiet),
    prepareUniverse: ({ request }) =>
      inRestore(request, async (restore) => {
        await refuseIfEnded(restore);
        return prepareUniverse(restore);
      }),
    placeFills: ({ request, round }) => inRestore(request, (restore) => placeFills(restore, round)),
    describeFill: ({ request, round, shard }) =>
      inRestore(request, (restore) => readFillShard(restore, round, shard)),
    restoreSnapshots: ({ request }) => inRestore(request, restoreAll),
    forgetRestore: ({ request }) =>
      inRestore(request, async (restore) => {
        await forgetRestore(restore);
        await pins.unpin(request.from);
      }),
    discardUniverse: ({ request }) =>
      inRestore(request, async (restore) => {
        const discarded = await discardUniverse(restore);
        await pins.unpin(request.from);
        return discarded;
      }),

    keepUniverseQuiet: ({ request }) =>
      inRestore(request, async (restore) => {
        const quiet = await beQuiet(restore);
        try {
          const run = activityInfo().workflowExecution;
          if (run === undefined) throw new Error('this must run as an activity of a workflow');
          await client.workflow.getHandle(run.workflowId, run.runId).signal(UNIVERSE_QUIET);
          await Promise.race([quiet.lost, stopped(restore.signal)]);
        } finally {
          await quiet.release();
        }
      }),

    finishUniverse: ({ request }) =>
      inRestore(request, async (restore) => {
        const { unclear, ...outcome } = await finishUniverse(restore);
        return {
          plan: request.from.plan,
          backup: request.from.backup,
          restore: request.restore,
          ...outcome,
          bytes: restore.manifest.totals.bytes,
          verdict: verdictOf(outcome.problems, unclear),
        };
      }),
  };
}

function verdictOf(problems: readonly string[], unclear: true | undefined): Verdict {
  if (problems.length > 0) return 'FAILED';
  return unclear === true ? 'INCONCLUSIVE' : 'OK';
}
