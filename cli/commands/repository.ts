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
import { recordHere } from '../record-act.ts';

interface Options extends CommonOptions {
  readonly id?: string;
}

export function register(program: Command): void {
  const repository = program
    .command('repository')
    .description('the repository itself: its document, and what was deleted or overwritten in it');
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
  repository
    .command('undo')
    .argument('<plan>', 'a plan’s name or file')
    .description(
      'put back what was deleted or overwritten in the repository since an instant, by intruders, mistakes or retention, from the older versions that the bucket keeps; without --yes it only looks',
    )
    .requiredOption('--since <instant>', 'the repository comes to hold again what it held then')
    .option('--yes', 'do it')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExample:\n  holdfast repository undo plans/orders.yaml --since 2026-11-29T22:00:00Z',
    )
    .action((argument: string, options: UndoOptions) => runCommand(options, () => undo(argument, options)));
}

interface UndoOptions extends CommonOptions {
  readonly since: string;
  readonly yes?: boolean;
}

const SAID_EVERY = 1_000;

async function undo(argument: string, { since, yes = false, json }: UndoOptions): Promise<ExitCode> {
  const { readInstant } = await import('../../planning/instant.ts');
  const reading = readInstant(since, new Date());
  if ('problem' in reading) throw new UsageError(`--since: ${reading.problem}`, reading.remedy);
  const { resolvePlan } = await import('../../library/plan-files.ts');
  const { resolveSecret } = await import('../../engines/resolve-secret.ts');
  const { openPlace } = await import('../../repository/open.ts');
  const { undoSince } = await import('../../repository/undo.ts');
  const { formatAmount, formatBytes } = await import('../../model/amounts.ts');
  const { pipeline, name } = await resolvePlan(argument);
  const raw = await openPlace(pipeline.repository, resolveSecret);
  try {
    const result = await undoSince(raw, {
      since: reading.at,
      putBack: yes,
      onProgress: (objects) => {
        if (objects % SAID_EVERY === 0) say(`${objects} objects are back`);
      },
    });
    const changed = result.deleted + result.overwritten;
    if (yes && changed > 0) {
      await recordHere(name, pipeline.repository, {
        action: 'repository-undone',
        subject: `since ${reading.at.toISOString()}, objects: ${changed}`,
      });
    }
    if (json) {
      emit({ since: reading.at.toISOString(), putBack: yes, ...result });
      return EXIT.done;
    }
    const { deleted, overwritten, keyFiles, bytes, objects, from, to } = result;
    if (deleted + overwritten === 0) {
      print(
        `Nothing that ${raw.description} held at ${reading.at.toISOString()} was deleted or overwritten since, as far as it keeps versions.`,
      );
      return EXIT.done;
    }
    print(
      `${formatAmount(deleted, 'object')} deleted and ${overwritten} overwritten in ${raw.description} since ${reading.at.toISOString()} (${formatBytes(bytes)}), between ${from} and ${to}.`,
    );
    for (const { key, happened } of objects) print(`  ${happened}: ${key}`);
    if (deleted + overwritten > objects.length) print(`  and ${deleted + overwritten - objects.length} more`);
    if (keyFiles > 0) print(ofKeyFiles(keyFiles, name, yes));
    print(
      yes
        ? `All of them are back. Look at the backups now: holdfast list ${name}; holdfast verify ${name} --level content`
        : 'Nothing was changed. With --yes they get back what they held then; what retention deleted since comes back too, and the next prune deletes it again.',
    );
    return EXIT.done;
  } finally {
    await raw.close();
  }
}

/** Whoever was taken out of the recipients since may read again, and who was added may not, until the key files are re-wrapped by an identity of then. */
function ofKeyFiles(count: number, plan: string, isDone: boolean): string {
  const what =
    count === 1 ? 'One of them is a key file that was' : `${count} of them are key files that were`;
  return `${what} overwritten since, by a re-wrap or by somebody else: ${isDone ? 'now' : 'put back,'} only the recipients of then can open what it encrypts. ${isDone ? 'Run' : 'Have an identity of theirs at hand, and run'} holdfast keys rewrap ${plan}${isDone ? ' with an identity of theirs' : ' afterwards'}.`;
}

async function repair(argument: string, { id, json }: Options): Promise<ExitCode> {
  if (id !== undefined && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) {
    throw new UsageError(`--id ${id} is no UUID`, 'Write it as `status --json` has it.');
  }
  const { resolvePlan } = await import('../../library/plan-files.ts');
  const { resolveSecret } = await import('../../engines/resolve-secret.ts');
  const { openPlace, signingOf } = await import('../../repository/open.ts');
  const { repairRepository } = await import('../../repository/repair.ts');
  const { formatAmount } = await import('../../model/amounts.ts');
  const { pipeline, name } = await resolvePlan(argument);
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
    if (outcome === 'repaired') {
      await recordHere(name, repository, { action: 'repository-repaired', subject: `id ${identity.id}` });
    }
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
