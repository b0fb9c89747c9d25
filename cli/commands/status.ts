import type { Command } from 'commander';
import { HERE } from '../here.ts';
import { type CommonOptions, emit, print, runCommand, say, UsageError } from '../output.ts';
import type { Session } from '../session.ts';

interface Options extends CommonOptions {
  readonly processes?: boolean;
}

export function register(program: Command): void {
  program
    .command('status')
    .argument('[plan]', 'name of a plan, or its file; all applied plans when left out')
    .description('what of a plan runs, waits and comes next, and to which instants it can be restored')
    .option('--processes', 'the embedded Temporal server and its workers, those that run; starts nothing')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast status orders')
    .action((plan: string | undefined, options: Options) =>
      runCommand(options, () => (options.processes ? tellProcesses(options) : run(plan, options))),
    );
}

async function run(argument: string | undefined, options: CommonOptions): Promise<undefined> {
  const { openSession } = await import('../session.ts');
  const session = await openSession({ starts: 'server' });
  try {
    if (argument === undefined) await tellAll(session, options);
    else await tellOne(session, argument, options);
    return undefined;
  } finally {
    await session.end();
  }
}

async function tellProcesses({ json }: Options): Promise<undefined> {
  const { backgroundProcesses, whatStaysOpen } = await import('../embedded.ts');
  const { stateDirectory } = await import('../state.ts');
  const { formatBytes } = await import('../../model/amounts.ts');
  const processes = await backgroundProcesses();
  if (json) emit({ processes, stateDirectory: stateDirectory() });
  else if (processes.length === 0) say('Nothing runs in the background.');
  for (const { kind, pid, address, uiUrl, taskQueue, residentBytes } of json ? [] : processes) {
    const what = kind === 'server' ? `${address}, UI ${uiUrl}` : `task queue ${taskQueue}`;
    const memory = residentBytes === undefined ? '' : `  ${formatBytes(residentBytes)}`;
    print(`${kind.padEnd(6)}  process ${pid}  ${what}${memory}`);
  }
  for (const { signed } of json ? [] : processes) if (signed !== undefined) say(whatStaysOpen(signed));
  return undefined;
}

async function tellAll({ client }: Session, { json }: CommonOptions): Promise<void> {
  const { appliedStatuses } = await import('../../library/status.ts');
  const { lineOf } = await import('../status/page.ts');
  const plans = await appliedStatuses(client);
  if (json) emit({ plans });
  else if (plans.length === 0) {
    say('No plan is applied: holdfast apply does it. Of one that is not: holdfast status PLAN.');
  } else for (const status of plans) print(lineOf(status, new Date()));
}

async function tellOne({ client }: Session, argument: string, { json }: CommonOptions): Promise<void> {
  const { appliedStatus, unappliedStatus } = await import('../../library/status.ts');
  const { planNameOf } = await import('../../library/plan-files.ts');
  const { pageOf, unappliedPageOf } = await import('../status/page.ts');
  const name = await planNameOf(argument);
  const applied = await appliedStatus(client, name);
  if (applied !== undefined) {
    if (json) emit(applied);
    else for (const line of pageOf(applied, new Date())) print(line);
    return;
  }
  const status = await unappliedStatus(HERE, client, await fileOf(argument, name));
  if (json) emit(status);
  else for (const line of unappliedPageOf(status, new Date())) print(line);
}

/** The file of a plan that is not applied. If there is no such file either, the error says that the plan is not applied. */
async function fileOf(argument: string, name: string) {
  const { notApplied } = await import('../../library/plan-entities.ts');
  const { InvalidPlanError, resolvePlan } = await import('../../library/plan-files.ts');
  try {
    return await resolvePlan(argument);
  } catch (error) {
    const isUnknown = error instanceof UsageError && !(error instanceof InvalidPlanError);
    if (!isUnknown || argument !== name) throw error;
    throw notApplied(name, 'Apply it (holdfast apply), or name the file that has it.');
  }
}
