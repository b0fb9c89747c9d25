import type { Command } from 'commander';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { SigningPlace, SignOutcome } from '../../repository/signing/sign-backups.ts';
import { HERE } from '../here.ts';
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
  readonly all?: boolean;
  readonly acknowledge?: boolean;
  readonly archive?: boolean;
}

export function register(program: Command): void {
  program
    .command('sign')
    .argument('<plan>', 'a plan’s name or file')
    .argument('[backups...]', 'backups that were made before the plan had `signing`')
    .description(
      'sign the repository’s own file, and backups that were made earlier, each after every byte of it was read and found whole; exit 1 where one is damaged or forged, 3 where one could not be read',
    )
    .option('--all', 'every backup of the plan that nobody has signed')
    .option(
      '--acknowledge',
      'have the register of backups say what is there now, after you have looked into what it says differently',
    )
    .option(
      '--archive',
      'also what the archive of changes says of itself: where each timeline begins, and of which tables it has no changes; look at both first (holdfast status)',
    )
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast sign plans/orders.yaml 20261130T020000Z-abcdef')
    .action((argument: string, backups: readonly string[], options: Options) =>
      runCommand(options, () => run(argument, backups, options)),
    );
}

async function run(argument: string, backups: readonly string[], options: Options): Promise<ExitCode> {
  if (options.all && backups.length > 0) {
    throw new UsageError('--all and names of backups exclude each other', 'Leave out one of them.');
  }
  const { resolvePlan } = await import('../../library/plan-files.ts');
  const { signBackup, signRepository, signTimelines } = await import(
    '../../repository/signing/sign-backups.ts'
  );
  const { acknowledgeRegister, compareRegister } = await import('../../repository/signing/register.ts');
  const { listBackups } = await import('../../repository/backups/list-backups.ts');
  const { requireBackup } = await import('../../library/backups.ts');
  const plan = await resolvePlan(argument);
  for (const backup of backups) await requireBackup(HERE, plan, backup);
  return withSigning(plan, async (place) => {
    const { store } = place;
    const repository = await signRepository(place);
    const timelines = options.archive ? await signTimelines(place, plan.name) : [];
    const listing = await listBackups(store, plan.name);
    const unsigned = listing.unusable.filter(({ state }) => state === 'unsigned');
    const chosen = options.all ? unsigned.map(({ backup }) => backup) : backups;
    const outcomes: SignOutcome[] = [];
    for (const backup of chosen) {
      say(`${backup}: reading every byte of it`);
      outcomes.push(await signBackup(place, { plan: plan.name, backup }));
    }
    const differences = await compareRegister(store, plan.name, await listBackups(store, plan.name));
    const problems = differences?.problems ?? [];
    if (options.acknowledge) {
      await acknowledgeRegister(store, { plan: plan.name });
      await recordHere(plan.name, plan.pipeline.repository, {
        action: 'register-acknowledged',
        subject: `differences: ${problems.length}`,
      });
    }
    if (options.json) {
      emit({
        plan: plan.name,
        repository,
        backups: outcomes,
        timelines,
        register: { problems, acknowledged: options.acknowledge === true },
      });
    } else {
      if (repository === 'signed') print(`repository.json of ${store.description} is signed.`);
      for (const key of timelines) print(`${key} is signed.`);
      for (const outcome of outcomes) tell(outcome);
      for (const problem of problems)
        print(`${options.acknowledge ? 'acknowledged' : 'register'}: ${problem}`);
      const left = unsigned.filter(({ backup }) => !chosen.includes(backup));
      if (left.length > 0) {
        print(`Unsigned still: ${left.map(({ backup }) => backup).join(', ')}`);
        say(
          'Name those that you know to be yours, or sign all of them: --all. What is signed can be restored and drilled.',
        );
      }
    }
    return exitOf(outcomes);
  });
}

function tell(outcome: SignOutcome): void {
  if (outcome.outcome !== 'refused') {
    print(`${outcome.backup}: ${outcome.outcome === 'signed' ? 'whole, and signed' : 'was signed already'}`);
    return;
  }
  print(`${outcome.backup}: not signed, ${outcome.report.verdict}`);
  for (const problem of outcome.report.problems) print(`  ${problem}`);
}

function exitOf(outcomes: readonly SignOutcome[]): ExitCode {
  const verdicts = outcomes.flatMap((outcome) =>
    outcome.outcome === 'refused' ? [outcome.report.verdict] : [],
  );
  if (verdicts.includes('FAILED')) return EXIT.failed;
  return verdicts.length > 0 ? EXIT.inconclusive : EXIT.done;
}

async function withSigning<T>(plan: CompiledPlan, work: (place: SigningPlace) => Promise<T>): Promise<T> {
  const { openStore } = await import('../../repository/open.ts');
  const { resolveSecret } = await import('../../engines/resolve-secret.ts');
  const { withoutSigning } = await import('../without-signing.ts');
  const store = await openStore(plan.pipeline.repository, resolveSecret);
  const unsigned = await openStore(withoutSigning(plan).pipeline.repository, resolveSecret);
  try {
    const { signing } = store;
    if (signing === undefined) {
      throw new UsageError(
        `the repository ${plan.pipeline.repository.name} of the plan ${plan.name} has no \`signing\``,
        'Add it to the Repository first: docs/signing.md.',
      );
    }
    return await work({ store, signing, unsigned });
  } finally {
    await store.close();
    await unsigned.close();
  }
}
