import { askCopy } from '../engines/ask-copy.ts';
import type { RestoreContext, RestoreEngine, RestoreOutcome, VerbContext } from '../engines/engine.ts';
import { engineOf, logical } from '../engines/registry.ts';
import {
  LEFT_OUT_LISTED,
  type LeftOut,
  type RestoreRequest,
  type RestoreSummary,
  type Verdict,
} from '../model/backup.ts';
import { permanent } from '../model/errors.ts';
import type { Manifest } from '../model/manifest.ts';
import { backupFolder } from '../repository/layout.ts';
import type { Activities } from './contract.ts';
import type { Pins } from './pins.ts';
import type { Repositories } from './repositories.ts';
import { asActivity } from './run-activity.ts';

/** The stages of a restore. Each reads the manifest, which stays in memory, so history holds only the request. */
export function restoreActivities(
  repositories: Repositories,
  pins: Pins,
): Pick<
  Activities,
  | 'planRestore'
  | 'prepareRestore'
  | 'load'
  | 'postData'
  | 'replay'
  | 'finishRestore'
  | 'releaseRestore'
  | 'ask'
  | 'discardRestore'
> {
  const contextOf = async (verb: VerbContext, request: RestoreRequest): Promise<RestoreContext> => {
    const ref = request.from;
    const backup = await repositories.backup(ref);
    checkEngine(request, backup.manifest);
    const source = logical(request.source);
    return { ...verb, ...backup, ref, request: { ...request, source }, folder: backupFolder(ref) };
  };
  const inRestore = <T>(request: RestoreRequest, body: (context: RestoreContext) => Promise<T>): Promise<T> =>
    asActivity(async (verb) => body(await contextOf(verb, request)));
  const engineFor = async (request: RestoreRequest) => (await engineOf(logical(request.source))).restore;

  return {
    planRestore: ({ request }) =>
      asActivity(async (verb) => {
        // From here until the restore ends, retention doesn't delete the backup.
        await pins.pin(request.from);
        const engine = await engineFor(request);
        checkTolerance(request, engine);
        if (request.replay !== undefined) replayOf(request, engine);
        return engine.plan(await contextOf(verb, request));
      }),
    prepareRestore: ({ request }) =>
      inRestore(request, async (context) => (await engineFor(request)).prepare(context)),
    load: ({ request, task }) =>
      inRestore(request, async (context) => (await engineFor(request)).load(context, task)),
    postData: ({ request, ...work }) =>
      inRestore(request, async (context) => (await engineFor(request)).postData(context, work)),
    replay: ({ request, database }) =>
      inRestore(request, async (context) => replayOf(request, await engineFor(request))(context, database)),
    discardRestore: ({ request }) =>
      inRestore(request, async (context) => {
        const stands = await (await engineFor(request)).discard(context);
        await pins.unpin(request.from);
        return { stands };
      }),

    ask: ({ request, assertion }) =>
      inRestore(request, async (context) => askCopy(await engineFor(request), context, assertion)),

    releaseRestore: ({ request }) =>
      inRestore(request, async (context) => {
        await (await engineFor(request)).release?.(context);
      }),

    finishRestore: ({ request }) =>
      inRestore(request, async (context) => {
        const {
          leftOut = [],
          comparedNothing,
          unclear,
          ...outcome
        } = await (await engineFor(request)).finish(context);
        // A scratch restore keeps its pin until its databases are dropped: the pin informs the next drill of a scratch restore that
        // was terminated.
        if (!request.scratch) await pins.unpin(request.from);
        return {
          plan: request.from.plan,
          backup: request.from.backup,
          restore: request.restore,
          ...outcome,
          bytes: outcome.bytes ?? context.manifest.totals.bytes,
          verdict: verdictOf({ ...outcome, leftOut, comparedNothing, unclear }),
          ...listedOf(leftOut),
        };
      }),
  };
}

function verdictOf(outcome: RestoreOutcome): Verdict {
  if (!isWhole(outcome)) return 'FAILED';
  return outcome.comparedNothing === true || outcome.unclear === true ? 'INCONCLUSIVE' : 'OK';
}

/**
 * True if nothing is missing that the request asked for. A selection may leave things out, but whatever the server refused is a
 * failure, even a tolerated one.
 */
function isWhole({ problems, leftOut = [] }: RestoreOutcome): boolean {
  return problems.length === 0 && !leftOut.some(({ because }) => because === 'error');
}

/** Most characters of all texts in the list. A history takes no more than 2 MB at once. */
const LISTED_CHARACTERS = 200_000;

/** The first things that were left out, and how many more there are. */
function listedOf(leftOut: readonly LeftOut[]): Pick<RestoreSummary, 'leftOut' | 'leftOutMore'> {
  const listed: LeftOut[] = [];
  let characters = 0;
  for (const item of leftOut.slice(0, LEFT_OUT_LISTED)) {
    characters += item.sql.length + item.error.length + item.name.length;
    if (characters > LISTED_CHARACTERS) break;
    listed.push(item);
  }
  const more = leftOut.length - listed.length;
  return {
    ...(leftOut.length === 0 ? {} : { leftOut: listed }),
    ...(more === 0 ? {} : { leftOutMore: more }),
  };
}

function checkTolerance({ tolerate, source }: RestoreRequest, engine: RestoreEngine): void {
  if (tolerate !== true || engine.tolerates === true) return;
  throw permanent(
    'RESTORE_TOLERATE_ENGINE',
    `A restore by engine ${source.engine} can't leave out what the server refuses`,
    'Leave out --tolerate.',
  );
}

/** Throws `RESTORE_REPLAY_ENGINE` (permanent) where the engine has no archive of changes. */
function replayOf({ source }: RestoreRequest, engine: RestoreEngine): NonNullable<RestoreEngine['replay']> {
  if (engine.replay !== undefined) return engine.replay;
  throw permanent(
    'RESTORE_REPLAY_ENGINE',
    `Engine ${source.engine} has no archive of changes to replay`,
    'Restore a backup: leave out the instant, or take the one of the backup.',
  );
}

/** Refuses a backup of another engine. The plan may have changed its engine since. */
function checkEngine({ source }: RestoreRequest, { engine, backup }: Manifest): void {
  if (source.engine === engine) return;
  throw permanent(
    'RESTORE_OTHER_ENGINE',
    `The backup ${backup} was made by engine ${engine}, and the plan's source is of engine ${source.engine}`,
    `Restore it with a plan whose source is \`${engine}\`.`,
  );
}
