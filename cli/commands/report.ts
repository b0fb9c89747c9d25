import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { messageOf, permanent } from '../../model/errors.ts';
import { type CommonOptions, EXIT, emit, runCommand, say } from '../output.ts';

interface Options extends CommonOptions {
  readonly out: string;
}

export function register(program: Command): void {
  program
    .command('report')
    .argument('[plan]', 'a plan’s name or file; all plans of ./plans when left out')
    .description(
      'write an HTML page on how the backups stand: recovery window, sizes, verifications, drills, retention',
    )
    .requiredOption('--out <file>', 'where to write it; the page needs nothing else')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast report plans/orders.yaml --out report.html')
    .action((argument: string | undefined, options: Options) =>
      runCommand(options, () => run(argument, options)),
    );
}

async function run(argument: string | undefined, { out, json }: Options) {
  const { resolvePlan, resolvePlans } = await import('../../library/plan-files.ts');
  const { reportOnPlan } = await import('../report/plan-report.ts');
  const { reportPage } = await import('../report/page.ts');
  const plans = argument === undefined ? await resolvePlans() : [await resolvePlan(argument)];
  const now = new Date();
  const reports = await Promise.all(plans.map((plan) => reportOnPlan(plan, now)));
  try {
    await writeFile(out, reportPage(reports, now));
  } catch (error) {
    throw permanent(
      'REPORT_NOT_WRITTEN',
      `the report can't be written to ${out}: ${messageOf(error)}`,
      'Name a file in a folder that you can write to.',
      error,
    );
  }
  const unread = reports.filter((report) => 'problem' in report);
  for (const { plan, problem } of unread) say(`warning: ${plan.name}: ${problem}`);
  if (json) {
    const names = (of: readonly { readonly plan: { readonly name: string } }[]) =>
      of.map(({ plan }) => plan.name);
    emit({ file: out, plans: names(reports), unread: names(unread) });
  } else say(`Wrote ${out}.`);
  return unread.length === 0 ? EXIT.done : EXIT.inconclusive;
}
