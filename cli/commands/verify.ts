import { type Command, Option } from 'commander';
import type { SchemaReport, VerifyReport } from '../../model/backup.ts';
import type { VerifyInput } from '../../workflows/messages.ts';
import type { FollowRunOptions } from '../follow-run.ts';
import { HERE } from '../here.ts';
import { EXIT, type ExitCode, emit, print, runCommand } from '../output.ts';

interface Options extends FollowRunOptions {
  readonly level: VerifyInput['level'];
}

export function register(program: Command): void {
  program
    .command('verify')
    .argument('<plan>', 'a plan’s name or file')
    .argument('[backup]', 'a backup’s id; the newest when left out')
    .description(
      'check a backup and put the verdict into the repository; without BACKUP, the plan’s archive of changes too; exit 0 OK, 1 FAILED, 3 INCONCLUSIVE',
    )
    .addOption(
      new Option(
        '--level <level>',
        'exists, checksums (nothing downloaded), content (every byte), restore, or schema (whether the server takes it, without rows)',
      )
        .choices(['exists', 'checksums', 'content', 'restore', 'schema'])
        .default('content'),
    )
    .option('--detach', 'start it and return')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast verify plans/orders.yaml --level restore')
    .action((argument: string, backup: string | undefined, options: Options) =>
      runCommand(options, () => run(argument, backup, options)),
    );
}

async function run(argument: string, backup: string | undefined, options: Options) {
  const { openPlan, startVerify, verificationFor } = await import('../../library/index.ts');
  const { followRun } = await import('../follow-run.ts');
  const plan = await openPlan(argument);
  const chosen = await verificationFor(plan, { backup, level: options.level }, HERE);
  return followRun<VerifyReport | SchemaReport>(
    options,
    { plan },
    async (session) => ({
      run: await startVerify(session, plan, chosen),
      title: `Verifying ${chosen.backup}, level ${options.level}`,
      names: { plan: plan.name, backup: chosen.backup, level: options.level },
      whenDetached: 'Detached; the verification goes on. The same command follows it again.',
    }),
    (result) => report(result, options, chosen.archive),
  );
}

/** @param withArchive true: the plan's archive was to be verified too */
function report(result: VerifyReport | SchemaReport, options: Options, withArchive: boolean): ExitCode {
  const archive = result.level === 'schema' ? undefined : result.archive;
  if (options.json) emit(result);
  else {
    const what =
      result.level === 'schema' ? '' : `, ${result.compared ?? `${result.checkedObjects} checked`}`;
    print(`${result.backup}: ${result.verdict} (${result.level}${what})`);
    if (result.level !== 'schema') for (const note of result.notes ?? []) print(`  ${note}`);
    for (const problem of result.problems) print(`  ${problem}`);
    if (archive !== undefined) {
      print(`archive of changes: ${archive.verdict} (${archive.level}, ${archive.compared})`);
      for (const problem of archive.problems) print(`  ${problem}`);
    } else if (withArchive) {
      print('archive of changes: not looked at, since a verification was under way that was not asked to');
    }
  }
  const verdicts = [result.verdict, ...(withArchive ? [archive?.verdict ?? 'INCONCLUSIVE'] : [])];
  if (verdicts.includes('FAILED')) return EXIT.failed;
  return verdicts.every((verdict) => verdict === 'OK') ? EXIT.done : EXIT.inconclusive;
}
