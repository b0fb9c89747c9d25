import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { defined } from '../../model/defined.ts';
import { UsageError } from '../../model/errors.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { Outcome } from '../apply/apply-each.ts';
import type { Planned } from '../apply/changes.ts';
import {
  type CommonOptions,
  EXIT,
  type ExitCode,
  emit,
  print,
  renderError,
  runCommand,
  say,
} from '../output.ts';
import { checkReason, recordHere } from '../record-act.ts';
import type { Session } from '../session.ts';

interface Options extends CommonOptions {
  readonly dryRun?: boolean;
  readonly prune?: boolean;
  readonly gone?: boolean;
  readonly keepPauses: boolean;
  readonly newRepository?: boolean;
  readonly set: string;
  readonly reason?: string;
  readonly yes?: boolean;
}

/** Plans that are applied at once. Each waits for its entity, which waits for its schedules. */
const APPLIED_AT_ONCE = 8;

/** The actions that change something. `failed`, `keep` and `none` don't. */
const ACTING: readonly Planned['action'][] = ['add', 'change', 'remove'];

export function register(program: Command): void {
  program
    .command('apply')
    .argument('[dir]', 'a folder of plan files, or one file', 'plans')
    .description('bring Temporal in line with plan files: an entity and schedules for each plan')
    .option('--dry-run', 'print what would change, and change nothing')
    .option('--prune', 'remove plans of this set that have no file any more; their backups stay')
    .option('--gone', 'with --prune: also plans that another one found and whose databases are gone')
    .option('--keep-pauses', 'a schedule that somebody paused by hand stays paused (default)', true)
    .option('--no-keep-pauses', 'go on with schedules that were paused by hand')
    .option(
      '--new-repository',
      'what is at the place of a repository now is meant, though it was another one',
    )
    .option('--set <name>', 'who these plans belong to; --prune looks at its own set alone', 'default')
    .option('--reason <text>', 'why; it is recorded with each plan that changes (holdfast audit)')
    .option('--yes', 'do not ask on a terminal')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast apply plans/ --dry-run')
    .action((folder: string, options: Options) => runCommand(options, () => run(folder, options)));
}

async function run(folder: string, options: Options): Promise<ExitCode> {
  const { compilePlanFiles, InvalidPlanError } = await import('../../library/plan-files.ts');
  const { findSession } = await import('../session.ts');
  const { variablesOf } = await import('../worker-environment.ts');
  const { allNew } = await import('../apply/changes.ts');
  const { changeLines, summaryLine } = await import('../apply/text.ts');

  checkReason(options.reason);
  if (options.gone && !options.prune)
    throw new UsageError('--gone is about what --prune removes', 'Add --prune, or leave it out.');
  const { plans, diagnostics, sources } = await compilePlanFiles([folder]);
  if (diagnostics.length > 0) throw new InvalidPlanError(folder, diagnostics, sources);

  const session = await findSession({
    starts: options.dryRun ? 'nothing' : 'worker',
    variables: variablesOf(plans),
  });
  let keep = true;
  try {
    const planned = session === undefined ? allNew(plans) : await planChanges(session, plans, options);
    const acting = planned.filter(({ action }) => ACTING.includes(action));
    const hopeless = planned.filter(({ action }) => action === 'failed');
    if (!options.json) {
      for (const change of planned) for (const line of changeLines(change)) print(line);
      print(acting.length + hopeless.length === 0 ? 'Nothing to change.' : summaryLine(planned));
    }
    const acts = session !== undefined && !options.dryRun && acting.length > 0 && (await isWanted(options));
    const outcomes = acts ? await makeAll(session, acting, options) : [];
    keep = !options.dryRun;
    return report(planned, outcomes, acts, options);
  } finally {
    await session?.end({ keep });
  }
}

async function planChanges(session: Session, plans: readonly CompiledPlan[], options: Options) {
  const { plannedChanges } = await import('../apply/changes.ts');
  return plannedChanges(session.client, plans, {
    set: options.set,
    queueOf: session.queueOf,
    prune: options.prune === true,
    gone: options.gone === true,
    keepPauses: options.keepPauses,
    newRepository: options.newRepository === true,
  });
}

async function isWanted({ json, yes }: Options): Promise<boolean> {
  if (json || yes || !process.stdin.isTTY || !process.stdout.isTTY) return true;
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const given = await prompt.question('Apply these changes? Only "yes" does. ');
    if (given.trim() === 'yes') return true;
    say('Nothing was changed.');
    return false;
  } finally {
    prompt.close();
  }
}

async function makeAll(
  session: Session,
  changes: readonly Planned[],
  options: Options,
): Promise<readonly Outcome[]> {
  const { awaitWorker } = await import('../../library/plan-entities.ts');
  const { applyEach } = await import('../apply/apply-each.ts');
  const queues = new Set(changes.flatMap(({ taskQueue }) => taskQueue ?? []));
  for (const queue of queues) await awaitWorker(session.client, queue);
  return applyEach(changes, (change) => make(session, change, options), APPLIED_AT_ONCE);
}

/** Reports how each plan's change ended. Returns 1 if one failed. */
function report(
  planned: readonly Planned[],
  outcomes: readonly Outcome[],
  acts: boolean,
  { json }: Options,
): ExitCode {
  const outcomeOf = new Map(outcomes.map(({ plan, ...outcome }) => [plan, outcome]));
  const plans = planned.map(({ wanted: _, after: _after, taskQueue: _queue, asGone: _gone, ...change }) => ({
    ...change,
    ...outcomeOf.get(change.plan),
  }));
  const failed = plans.flatMap(({ plan, error }) => (error === undefined ? [] : [{ plan, error }]));
  const [first] = failed;
  if (json) {
    const changes = planned.filter(({ action }) => ACTING.includes(action)).length;
    emit({ changes, applied: acts, plans, ...defined({ error: first?.error }) });
  } else if (acts) {
    for (const { plan, outcome } of outcomes) print(`${plan}: ${outcome}`);
  }
  for (const { plan, error } of failed) say(renderError(error, `plan ${plan}: `));
  return first === undefined ? EXIT.done : EXIT.failed;
}

async function make(
  { client, taskQueue }: Session,
  change: Planned,
  { set, keepPauses, newRepository = false, reason }: Options,
): Promise<void> {
  const { applyToEntity, findEntity, removeEntity, removeGone } = await import(
    '../../library/plan-entities.ts'
  );
  if (change.wanted === undefined) {
    const entity = await findEntity(client, change.plan);
    await (change.asGone ? removeGone : removeEntity)(client, change.plan);
    const repository = entity?.revision.plan.pipeline.repository;
    if (repository !== undefined)
      await recordHere(change.plan, repository, { action: 'plan-removed', ...defined({ reason }) });
    return;
  }
  const revision = { plan: change.wanted, set, taskQueue: change.taskQueue ?? taskQueue };
  await applyToEntity(client, { revision, after: change.after, keepPauses, newRepository });
  const { hash, repository } = change.wanted.pipeline;
  await recordHere(change.plan, repository, {
    action: 'plan-applied',
    subject: `pipeline ${hash}`,
    ...defined({ reason }),
  });
}
