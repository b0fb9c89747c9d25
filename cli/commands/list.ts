import type { Command } from 'commander';
import { instantOf } from '../../model/manifest.ts';
import { describeRows, rowsOf } from '../../model/rows.ts';
import { type CommonOptions, emit, print, runCommand, say } from '../output.ts';

export function register(program: Command): void {
  program
    .command('list')
    .argument('<plan>', 'a plan’s name or file')
    .description('the plan’s backups, newest first, with what was last verified of each')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast list plans/orders.yaml')
    .action((argument: string, options: CommonOptions) => runCommand(options, () => run(argument, options)));
}

async function run(argument: string, options: CommonOptions) {
  const { resolvePlan } = await import('../plan-files.ts');
  const { listPlan } = await import('../backups.ts');
  const { formatAmount, formatBytes } = await import('../../model/amounts.ts');
  const plan = await resolvePlan(argument);
  const { backups, unusable } = await listPlan(plan);
  for (const { backup, state, problem } of unusable) say(`${backup} (${state}): ${problem}`);
  if (options.json) {
    emit({
      plan: plan.name,
      backups: backups.map(({ manifest, verified, mark }) => ({
        backup: manifest.backup,
        instant: instantOf(manifest),
        completedAt: manifest.completedAt,
        ...manifest.totals,
        ...rowsOf(manifest),
        verified: verified && { level: verified.level, verdict: verified.verdict, at: verified.finishedAt },
        marked: mark && { at: mark.markedAt, deleteAfter: mark.deleteAfter },
      })),
      unusable,
    });
    return undefined;
  }
  if (backups.length === 0) say(`No backup of ${plan.name} yet: holdfast backup ${argument} makes one.`);
  for (const { manifest, verified, mark } of backups) {
    const { tables, bytes, storedBytes } = manifest.totals;
    print(
      `${manifest.backup}  ${instantOf(manifest)}  ${describeRows(rowsOf(manifest))}  ${formatAmount(tables, 'table')}  ` +
        `${formatBytes(bytes)} → ${formatBytes(storedBytes)}  ` +
        (verified ? `${verified.verdict} (${verified.level}, ${verified.finishedAt})` : 'not verified') +
        (mark ? `  marked: deleted after ${mark.deleteAfter}` : ''),
    );
  }
  return undefined;
}
