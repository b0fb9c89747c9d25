import { Command, CommanderError } from 'commander';
import { describeError } from '../library/errors.ts';
import packageJson from '../package.json' with { type: 'json' };
import { COMMANDS } from './command-table.ts';
import { EXIT, emit, say, UsageError } from './output.ts';

/** Runs the command that `args` name, with what it is given there, and leaves its exit code in `process.exitCode`. */
export async function runCommandLine(args: readonly string[]): Promise<void> {
  const wantsJson = args.includes('--json');
  const program = new Command('holdfast')
    .description(
      'Declarative, durable backup and restore for YugabyteDB (YSQL) and PostgreSQL, run by Temporal',
    )
    .version(packageJson.version)
    .exitOverride()
    .showHelpAfterError('(holdfast COMMAND --help shows an example)');
  if (wantsJson) program.configureOutput({ writeErr: () => undefined });
  // Load only the requested command. Load all of them for the help, or to suggest one for a mistyped name.
  const asked = COMMANDS.filter(({ name }) => name === args[0]);
  for (const { load } of asked.length === 0 ? COMMANDS : asked) (await load())(program);
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help and version are not errors. A usage error has already been printed; with `--json` it must also be a document.
    process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
    if (error.exitCode !== 0 && wantsJson) {
      const document = describeError(asUsageError(error));
      emit({ error: document });
      say(`error: ${document.message}`);
    }
  }
}

function asUsageError(error: { readonly code: string; readonly message: string }): UsageError {
  const problem =
    error.code === 'commander.help' ? 'no command is given' : error.message.replace(/^error: /, '');
  return new UsageError(problem, 'holdfast COMMAND --help shows what there is, with an example.');
}
