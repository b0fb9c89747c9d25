import { type Command, Option } from 'commander';
import type { PlanListing } from '../../library/index.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import { HERE } from '../here.ts';
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

interface Options extends CommonOptions {
  readonly output: 'short' | 'wide';
}

export function register(program: Command): void {
  program
    .command('list')
    .argument('[plan]', 'a plan’s name or file; left out, every plan of plans/')
    .description('the plan’s backups, newest first, with what was last verified of each')
    .addOption(
      new Option('-o, --output <columns>', 'short, in 80 columns, or wide: with tables, bytes and local time')
        .choices(['short', 'wide'])
        .default('short'),
    )
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExamples:\n  holdfast list plans/orders.yaml\n  holdfast list -o wide')
    .action((argument: string | undefined, options: Options) =>
      runCommand(options, () => (argument === undefined ? listAll(options) : listOne(argument, options))),
    );
}

async function listOne(argument: string, options: Options): Promise<undefined> {
  const { list, openPlan } = await import('../../library/index.ts');
  const plan = await openPlan(argument);
  const listing = await list(plan, HERE);
  tellUnusable(listing);
  if (options.json) emit(listing);
  else await show(plan, listing, options);
  return undefined;
}

/** Lists the backups of all plans. If one plan's repository can't be read, the others are still listed. */
async function listAll(options: Options): Promise<ExitCode> {
  const { openPlans } = await import('../../library/index.ts');
  const { describeError } = await import('../../library/errors.ts');
  const documents: object[] = [];
  let code: ExitCode = EXIT.done;
  for (const plan of await openPlans()) {
    try {
      for (const each of await withBackups(plan)) documents.push(await listOneOf(each, options));
    } catch (failure) {
      const error = describeError(failure);
      say(renderError(error, `plan ${plan.name}: `));
      documents.push({ plan: plan.name, error });
      code = EXIT.failed;
    }
  }
  if (options.json) emit({ plans: documents });
  return code;
}

async function listOneOf(plan: CompiledPlan, options: Options): Promise<PlanListing> {
  const { list } = await import('../../library/index.ts');
  const listing = await list(plan, HERE);
  tellUnusable(listing);
  if (options.json) return listing;
  const { discovered } = plan;
  print(`${plan.name}${discovered === undefined ? '' : ` (discovered by ${discovered.by})`}:`);
  await show(plan, listing, options);
  return listing;
}

/** For a plan with `discover`: the plans that it found and that have backups, whether or not their databases are still there. */
async function withBackups(plan: CompiledPlan): Promise<readonly CompiledPlan[]> {
  if (plan.discover === undefined) return [plan];
  const { discoveredPlans } = await import('../../library/listing.ts');
  return discoveredPlans(HERE, plan);
}

function tellUnusable({ unusable }: PlanListing): void {
  for (const { backup, state, problem } of unusable) say(`${backup} (${state}): ${problem}`);
}

async function show(plan: CompiledPlan, { backups }: PlanListing, { output }: Options): Promise<void> {
  const { backupColumns } = await import('../backup-columns.ts');
  const { tableLines } = await import('../listing-table.ts');
  const { localZone } = await import('../local-zone.ts');
  if (backups.length === 0) {
    say(`No backup of ${plan.name} yet: holdfast backup ${plan.file}#${plan.name} makes one.`);
    return;
  }
  for (const line of tableLines(backupColumns(output, localZone()), backups)) print(line);
  if (output === 'wide') return;
  for (const { backup, held, deletion } of backups) {
    for (const said of [held, deletion]) if (said !== undefined) say(`${backup}: ${said}`);
  }
}
