import type { Command } from 'commander';
import { HERE } from '../here.ts';
import { type CommonOptions, emit, print, runCommand, say } from '../output.ts';

export function register(program: Command): void {
  program
    .command('window')
    .argument('<plan>', 'a plan’s name or file')
    .description(
      'what the plan’s archive of changes holds: intervals without a gap, and why each hole is there',
    )
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast window plans/orders.yaml')
    .action((argument: string, options: CommonOptions) => runCommand(options, () => run(argument, options)));
}

async function run(argument: string, options: CommonOptions) {
  const { openPlan, window } = await import('../../library/index.ts');
  const plan = await openPlan(argument);
  if (options.json) {
    emit(await window(plan, HERE));
    return undefined;
  }
  const { readArchiveOf } = await import('../../library/window.ts');
  const { stretchText } = await import('../../planning/archive/proofs.ts');
  const { isoOfMicros } = await import('../../model/archive.ts');
  const { formatAmount, formatBytes } = await import('../../model/amounts.ts');
  const windows = await readArchiveOf(HERE, plan);
  if (windows.length === 0) say(`Plan ${plan.name} has no archive of changes.`);
  for (const { database, intervals, holes, notArchived } of windows) {
    print(`${database}:`);
    for (const { fromMicros, toMicros, segments, storedBytes, stretches } of intervals) {
      const amount = `${formatAmount(segments.length, 'segment')}  ${formatBytes(storedBytes)}`;
      const [only, ...others] = stretches;
      if (only !== undefined && others.length === 0) {
        print(`  ${stretchText(only)}  ${amount}`);
        continue;
      }
      print(`  ${isoOfMicros(fromMicros)} to ${isoOfMicros(toMicros)}  ${amount}`);
      for (const stretch of stretches) print(`    ${stretchText(stretch)}`);
    }
    for (const { fromMicros, toMicros, reason } of holes) {
      const to = toMicros === undefined ? 'now' : isoOfMicros(toMicros);
      print(`  hole ${isoOfMicros(fromMicros)} to ${to}: ${reason}`);
    }
    for (const { table, reason } of notArchived) print(`  not archived: ${table}: ${reason}`);
  }
  return undefined;
}
