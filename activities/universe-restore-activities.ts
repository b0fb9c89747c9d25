import { activityInfo } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import { universeEngine } from '../engines/universe/engine.ts';
import type { UniverseRestore } from '../engines/universe/restore/context.ts';
import type { RestoreRequest, Verdict } from '../model/backup.ts';
import { tabletSource } from '../model/engine-kind.ts';
import { permanent } from '../model/errors.ts';
import { inBackup } from './backup-context.ts';
import { type Activities, UNIVERSE_QUIET } from './contract.ts';
import type { Pins } from './pins.ts';
import type { Repositories } from './repositories.ts';
import { stopped } from './run-activity.ts';

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

/** The stages of a universe's restore that a worker does. Agents do the rest. */
export function universeRestoreActivities(
  repositories: Repositories,
  pins: Pins,
  client: Client,
): RestoreActivities {
  const { restore: engine } = universeEngine;
  const inRestore = <T>(
    request: RestoreRequest,
    body: (restore: UniverseRestore) => Promise<T>,
  ): Promise<T> =>
    inBackup(repositories, request.from, async (context) => {
      const source = tabletSource(request.source);
      const { manifest } = await repositories.backup(request.from);
      if (source === undefined || manifest.universe === undefined) {
        throw permanent(
          'RESTORE_OTHER_ENGINE',
          `The backup ${request.from.backup} was not made of a universe`,
          'Restore it with the plan that made it.',
        );
      }
      return body({ ...context, manifest, request: { ...request, source } });
    });

  return {
    planUniverseRestore: ({ request }) =>
      inRestore(request, async (restore) => {
        // From here until the restore ends, retention doesn't delete the backup.
        await pins.pin(request.from);
        return engine.plan(restore);
      }),
    endUniverseQuiet: ({ request }) => inRestore(request, engine.endQuiet),
    prepareUniverse: ({ request }) => inRestore(request, engine.prepare),
    placeFills: ({ request, round }) => inRestore(request, (restore) => engine.placeFills(restore, round)),
    describeFill: ({ request, round, shard }) =>
      inRestore(request, (restore) => engine.describeFill(restore, round, shard)),
    restoreSnapshots: ({ request }) => inRestore(request, engine.restoreSnapshots),
    forgetRestore: ({ request }) =>
      inRestore(request, async (restore) => {
        await engine.forget(restore);
        await pins.unpin(request.from);
      }),
    discardUniverse: ({ request }) =>
      inRestore(request, async (restore) => {
        const discarded = await engine.discard(restore);
        await pins.unpin(request.from);
        return discarded;
      }),

    keepUniverseQuiet: ({ request }) =>
      inRestore(request, async (restore) => {
        const quiet = await engine.beQuiet(restore);
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
        const { unclear, ...outcome } = await engine.finish(restore);
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
