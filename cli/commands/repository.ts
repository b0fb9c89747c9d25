import type { Command } from 'commander';
import {
  type CommonOptions,
  EXIT,
  type ExitCode,
  emit,
  print,
  runCommand,
  say,
  UsageError,
} from '../output.ts';

interface Options extends CommonOptions {
  readonly id?: string;
}

export function register(program: Command): void {
  const repository = program
    .command('repository')
    .description('the repository’s own document, repository.json');
  repository
    .command('repair')
    .argument('<plan>', 'a plan’s name or file')
    .description(
      'make a damaged or missing repository.json anew, from what is left of it, key files and manifests; nothing is written before a manifest was read by it',
    )
    .option('--id <uuid>', 'the repository’s id, where it is known: status --json of an applied plan has it')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast repository repair plans/orders.yaml')
    .action((argument: string, options: Options) => runCommand(options, () => repair(argument, options)));
}

async function repair(argument: string, { id, json }: Options): Promise<ExitCode> {
  if (id !== undefined && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) {
    throw new UsageError(`--id ${id} is no UUID`, 'Write it as `status --json` has it.');
  }
  const { resolvePlan } = await import('../plan-files.ts');
  const { resolveSecret } = await import('../../engines/resolve-secret.ts');
  const { openPlace, signingOf } = await import('../../repository/open.ts');
  const { repairRepository } = await import('../../repository/repair.ts');
  const { formatAmount } = await import('../../model/amounts.ts');
  const { pipeline } = await resolvePlan(argument);
  const { repository } = pipeline;
  const raw = await openPlace(repository, resolveSecret);
  try {
    const result = await repairRepository(raw, {
      encryption: repository.encryption,
      signing: signingOf(repository, resolveSecret),
      secret: resolveSecret,
      id,
    });
    const { outcome, identity, kept, backups, isNewId } = result;
    if (json) emit(result);
    else if (outcome === 'whole')
      print(`repository.json of ${raw.description} is whole; nothing was changed.`);
    else {
      print(
        `repository.json of ${raw.description} is made anew: id ${identity.id}, ${formatAmount(backups, 'backup')} read by it.`,
      );
      if (kept !== undefined) print(`What was there is kept as ${kept}.`);
      if (isNewId) {
        say(
          'Nobody knew its id, so it has a new one: applied plans report another repository until holdfast apply --new-repository.',
        );
      }
    }
    return EXIT.done;
  } finally {
    await raw.close();
  }
}
