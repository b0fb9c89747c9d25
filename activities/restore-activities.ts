import type { RestoreRequest } from '../model/backup.ts';
import { backupFolder } from '../repository/layout.ts';
import type { Activities } from './contract.ts';
import type { RestoreContext } from './engine.ts';
import { engineOf } from './engines.ts';
import type { Repositories } from './repositories.ts';
import { asActivity } from './verb-context.ts';

/** The stages of a restore. Each reads the manifest (kept in memory), so that history carries the request alone. */
export function restoreActivities(
  repositories: Repositories,
): Pick<
  Activities,
  'planRestore' | 'prepareRestore' | 'load' | 'postData' | 'finishRestore' | 'discardRestore'
> {
  const inRestore = <T>(request: RestoreRequest, body: (context: RestoreContext) => Promise<T>): Promise<T> =>
    asActivity(async (verb) => {
      const ref = request.from;
      const backup = await repositories.backup(ref);
      return body({ ...verb, ...backup, ref, request, folder: backupFolder(ref) });
    });
  const engineFor = (request: RestoreRequest) => engineOf(request.source).restore;

  return {
    planRestore: ({ request }) => inRestore(request, (context) => engineFor(request).plan(context)),
    prepareRestore: ({ request }) => inRestore(request, (context) => engineFor(request).prepare(context)),
    load: ({ request, task }) => inRestore(request, (context) => engineFor(request).load(context, task)),
    postData: ({ request, wave, unit }) =>
      inRestore(request, (context) => engineFor(request).postData(context, wave, unit)),
    discardRestore: ({ request }) => inRestore(request, (context) => engineFor(request).discard(context)),

    finishRestore: ({ request }) =>
      inRestore(request, async (context) => {
        const outcome = await engineFor(request).finish(context);
        return {
          plan: request.from.plan,
          backup: request.from.backup,
          restore: request.restore,
          ...outcome,
          bytes: context.manifest.totals.bytes,
          verdict: outcome.problems.length === 0 ? ('OK' as const) : ('FAILED' as const),
        };
      }),
  };
}
