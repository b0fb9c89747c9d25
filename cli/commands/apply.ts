import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import type { Planned } from '../apply/changes.ts';
import { type CommonOptions, EXIT, type ExitCode, emit, print, runCommand, say } from '../output.ts';
import type { Session } from '../session.ts';

interface Options extends CommonOptions {
  readonly dryRun?: boolean;
  readonly prune?: boolean;
  readonly keepPauses: boolean;
  readonly newRepository?: boolean;
  readonly set: string;
  readonly yes?: boolean;
}

export function register(program: Command): void {
  program
    .command('apply')
    .argument('[dir]', 'a folder of plan files, or one file', 'plans')
    .description('bring Temporal in line with plan files: an entity and schedules for each plan')
    .option('--dry-run', 'print what would change, and change nothing')
    .option('--prune', 'remove plans of this set that have no file any more; their backups stay')
    .option('--keep-pauses', 'a schedule that somebody paused by hand stays paused (default)', true)
    .option('--no-keep-pauses', 'go on with schedules that were paused by hand')
    .option(
      '--new-repository',
      'what is at the place of a repository now is meant, though it was another one',
    )
    .option('--set <name>', 'who these plans belong to; --prune looks at its own set alone', 'default')
    .option('--yes', 'do not ask on a terminal')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast apply plans/ --dry-run')
    .action((folder: string, options: Options) => runCommand(options, () => run(folder, options)));
}

async function run(folder: string, options: Options): Promise<ExitCode> {
  const { compilePlanFiles, InvalidPlanError } = await import('../plan-files.ts');
  const { openSession } = await import('../session.ts');
  const { plannedChanges } = await import('../apply/changes.ts');
  const { changeLines, summaryLine } = await import('../apply/text.ts');

  const { plans, diagnostics, files } = await compilePlanFiles([folder]);
  if (diagnostics.length > 0) throw new InvalidPlanError(folder, diagnostics, files);

  const session = await openSession();
  let keep = true;
  try {
    const wishes = {
      set: options.set,
      taskQueue: session.taskQueue,
      prune: options.prune === true,
      keepPauses: options.keepPauses,
      newRepository: options.newRepository === true,
    };
    const planned = await plannedChanges(session.client, plans, wishes);
    const acting = planned.filter(
      ({ action }) => action === 'add' || action === 'change' || action === 'remove',
    );
    if (!options.json) {
      for (const change of planned) for (const line of changeLines(change)) print(line);
      print(acting.length === 0 ? 'Nothing to change.' : summaryLine(planned));
    }
    const acts = !options.dryRun && acting.length > 0 && (await isWanted(options));
    if (acts) await makeAll(session, acting, options);
    keep = !options.dryRun;
    if (options.json) {
      emit({
        changes: acting.length,
        applied: acts,
        plans: planned.map(({ wanted: _wanted, after: _after, ...change }) => change),
      });
    } else if (acts) print('Applied.');
    return EXIT.done;
  } finally {
    await session.end({ keep });
  }
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

async function makeAll(session: Session, changes: readonly Planned[], options: Options): Promise<void> {
  const { awaitWorker } = await import('../plan-entities.ts');
  if (changes.some(({ wanted }) => wanted !== undefined))
    await awaitWorker(session.client, session.taskQueue);
  for (const change of changes) await make(session, change, options);
}

async function make(
  { client, taskQueue }: Session,
  change: Planned,
  { set, keepPauses, newRepository = false }: Options,
): Promise<void> {
  const { applyToEntity, removeEntity } = await import('../plan-entities.ts');
  if (change.wanted === undefined) {
    await removeEntity(client, change.plan);
    return;
  }
  const revision = { plan: change.wanted, set, taskQueue };
  await applyToEntity(client, { revision, after: change.after, keepPauses, newRepository });
}
