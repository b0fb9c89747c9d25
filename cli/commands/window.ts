import type { Command } from 'commander';
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
  const { resolvePlan } = await import('../plan-files.ts');
  const { withStore } = await import('../backups.ts');
  const { readArchive } = await import('../../engines/ysql/archive/window.ts');
  const { stretchText } = await import('../../planning/archive-proofs.ts');
  const { isoOfMicros, postgresLsn } = await import('../../model/archive.ts');
  const { formatAmount, formatBytes } = await import('../../model/amounts.ts');
  const plan = await resolvePlan(argument);
  const windows = await withStore(plan.pipeline.repository, (store) => readArchive(store, plan.name));
  if (options.json) {
    emit({
      plan: plan.name,
      databases: windows.map(({ database, intervals, holes, notArchived }) => ({
        database,
        intervals: intervals.map((interval) => ({
          timeline: interval.timeline,
          from: isoOfMicros(interval.fromMicros),
          to: isoOfMicros(interval.toMicros),
          startLsn: postgresLsn(interval.startLsn),
          endLsn: postgresLsn(interval.endLsn),
          segments: interval.segments.length,
          storedBytes: interval.storedBytes,
          stretches: interval.stretches.map(({ fromMicros, toMicros, state }) => ({
            from: isoOfMicros(fromMicros),
            to: isoOfMicros(toMicros),
            state,
          })),
        })),
        holes: holes.map(({ fromMicros, toMicros, code, reason }) => ({
          from: isoOfMicros(fromMicros),
          to: toMicros === undefined ? null : isoOfMicros(toMicros),
          code,
          reason,
        })),
        notArchived,
      })),
    });
    return undefined;
  }
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
