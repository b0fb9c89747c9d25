import { type Command, InvalidArgumentError } from 'commander';
import { type CommonOptions, emit, print, runCommand } from '../output.ts';

interface Options extends CommonOptions {
  readonly dryRun?: boolean;
  readonly grace: number;
}

const HOUR_MS = 3_600_000;

export function register(program: Command): void {
  program
    .command('prune')
    .argument('<plan>', 'a plan’s name or file')
    .description(
      'remove what interrupted backups left in the repository; never anything that a manifest names',
    )
    .option('--dry-run', 'say what would be removed')
    .option('--grace <hours>', 'leave alone what is newer: its writer may come back', hours, 24)
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast prune plans/orders.yaml --dry-run')
    .action((argument: string, options: Options) => runCommand(options, () => run(argument, options)));
}

async function run(argument: string, options: Options) {
  const { resolvePlan } = await import('../plan-files.ts');
  const { withStore } = await import('../backups.ts');
  const { findOrphans, removeOrphans } = await import('../../repository/sweep.ts');
  const { formatBytes } = await import('../../workflows/progress.ts');
  const plan = await resolvePlan(argument);
  const graceMs = options.grace * HOUR_MS;
  await withStore(plan.pipeline.repository, async (store) => {
    const orphans = await Array.fromAsync(findOrphans(store, plan.name, graceMs));
    const removed = options.dryRun ? undefined : await removeOrphans(store, plan.name, graceMs);
    if (options.json) {
      emit({ plan: plan.name, orphans, removed: removed ?? null });
      return;
    }
    for (const { backup, kind, objects, bytes } of orphans) {
      print(`${backup}  ${kind}  ${objects} objects  ${formatBytes(bytes)}`);
    }
    if (removed === undefined) print(`${orphans.length} to clean up; nothing was removed (--dry-run).`);
    else print(`Removed ${removed.deletedObjects} objects, ${formatBytes(removed.deletedBytes)}.`);
  });
  return undefined;
}

function hours(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new InvalidArgumentError('write a number of hours');
  return value;
}
