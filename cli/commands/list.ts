import { type Command, Option } from 'commander';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { PlanListing } from '../backups.ts';
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
  const { resolvePlan } = await import('../plan-files.ts');
  const { listPlan } = await import('../backups.ts');
  const plan = await resolvePlan(argument);
  const listing = await listPlan(plan);
  tellUnusable(listing);
  if (options.json) emit(await documentOf(plan, listing));
  else await show(plan, listing, options);
  return undefined;
}

/** Lists the backups of all plans. If one plan's repository can't be read, the others are still listed. */
async function listAll(options: Options): Promise<ExitCode> {
  const { resolvePlans } = await import('../plan-files.ts');
  const { listPlan } = await import('../backups.ts');
  const { describeError } = await import('../output.ts');
  const documents: object[] = [];
  let code: ExitCode = EXIT.done;
  for (const plan of await resolvePlans()) {
    try {
      const listing = await listPlan(plan);
      tellUnusable(listing);
      documents.push(await documentOf(plan, listing));
      if (options.json) continue;
      print(`${plan.name}:`);
      await show(plan, listing, options);
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

function tellUnusable({ unusable }: PlanListing): void {
  for (const { backup, state, problem } of unusable) say(`${backup} (${state}): ${problem}`);
}

async function documentOf(plan: CompiledPlan, { backups, unusable }: PlanListing) {
  const { instantOf } = await import('../../model/manifest.ts');
  const { rowsOf } = await import('../../model/rows.ts');
  return {
    plan: plan.name,
    backups: backups.map(({ manifest, verified, mark, held, deletion }) => ({
      backup: manifest.backup,
      instant: instantOf(manifest),
      completedAt: manifest.completedAt,
      ...manifest.totals,
      ...rowsOf(manifest),
      verified: verified && { level: verified.level, verdict: verified.verdict, at: verified.finishedAt },
      marked: mark && { at: mark.markedAt, deleteAfter: mark.deleteAfter },
      ...(held === undefined ? {} : { held }),
      ...(deletion === undefined ? {} : { deletion }),
    })),
    unusable,
  };
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
  for (const { manifest, held, deletion } of backups) {
    for (const said of [held, deletion]) if (said !== undefined) say(`${manifest.backup}: ${said}`);
  }
}
