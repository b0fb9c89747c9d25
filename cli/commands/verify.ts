import { type Command, Option } from 'commander';
import type { VerifyReport } from '../../model/backup.ts';
import type { VerifyLevel } from '../../model/pipeline.ts';
import { type CommonOptions, EXIT, emit, print, runCommand, say } from '../output.ts';

interface Options extends CommonOptions {
  readonly level: VerifyLevel;
}

export function register(program: Command): void {
  program
    .command('verify')
    .argument('<plan>', 'a plan’s name or file')
    .argument('[backup]', 'a backup’s id; the newest when left out')
    .description(
      'check a backup and put the verdict into the repository; exit 0 OK, 1 FAILED, 3 INCONCLUSIVE',
    )
    .addOption(
      new Option(
        '--level <level>',
        'exists, checksums (nothing downloaded), content (every byte), or restore',
      )
        .choices(['exists', 'checksums', 'content', 'restore'])
        .default('content'),
    )
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast verify plans/orders.yaml --level restore')
    .action((argument: string, backup: string | undefined, options: Options) =>
      runCommand(options, () => run(argument, backup, options)),
    );
}

async function run(argument: string, backup: string | undefined, options: Options) {
  const { resolvePlan } = await import('../planFiles.ts');
  const { chooseBackup } = await import('../backups.ts');
  const { startVerify } = await import('../runs.ts');
  const { openSession, runUrl } = await import('../session.ts');
  const { follow } = await import('../follow.ts');
  const plan = await resolvePlan(argument);
  // The manifest itself may be what is damaged, so a backup that is named is not looked at first.
  const id = backup ?? (await chooseBackup(plan, {})).backup;
  const session = await openSession();
  let keep = false;
  try {
    const { workflowId } = await startVerify(session, plan, id, options.level);
    say(`Verifying ${id}, level ${options.level}: ${runUrl(session, workflowId) ?? workflowId}`);
    const handle = session.client.workflow.getHandle(workflowId);
    const followed = await follow<VerifyReport>(handle, { quiet: options.json === true });
    if (!followed.ended) {
      keep = true;
      say('Detached; the verification goes on.');
      return EXIT.inconclusive;
    }
    return report(followed.result, options);
  } finally {
    await session.end({ keep });
  }
}

function report(result: VerifyReport, options: Options) {
  if (options.json) emit(result);
  else {
    print(`${result.backup}: ${result.verdict} (${result.level}, ${result.checkedObjects} checked)`);
    for (const problem of result.problems) print(`  ${problem}`);
  }
  if (result.verdict === 'OK') return EXIT.done;
  return result.verdict === 'FAILED' ? EXIT.failed : EXIT.inconclusive;
}
