#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { cacheFolder } from '../engines/cache-folder.ts';
import { describeError } from '../library/errors.ts';
import packageJson from '../package.json' with { type: 'json' };
import { useBundledDependencies } from './bundled-dependencies.ts';
import { COMMANDS } from './command-table.ts';
import { EXIT, emit, say, UsageError } from './output.ts';
import { becomeWorkerProcess } from './worker-process.ts';

/**
 * From here on, all modules that a command loads are kept in compiled form. This halves the CPU time that a command or a worker needs to
 * start. A folder that can't be written does no harm. The setting is in the environment, so that processes started by this one use it too.
 */
process.env.NODE_COMPILE_CACHE ??= cacheFolder('compiled');
enableCompileCache(process.env.NODE_COMPILE_CACHE);

const wantsJson = process.argv.includes('--json');

const [first = '', ...others] = process.argv.slice(2);
if (others.length === 0 && (first === '--version' || first === '-V')) {
  process.stdout.write(`${packageJson.version}\n`);
  process.exit();
}

if (first === 'worker') becomeWorkerProcess();
useBundledDependencies(packageJson.dependencies);
// Imported after the cache was enabled, so that it is kept in compiled form too.
const { Command, CommanderError } = await import('commander');
const program = new Command('holdfast')
  .description(
    'Declarative, durable backup and restore for YugabyteDB (YSQL) and PostgreSQL, run by Temporal',
  )
  .version(packageJson.version)
  .exitOverride()
  .showHelpAfterError('(holdfast COMMAND --help shows an example)');
if (wantsJson) program.configureOutput({ writeErr: () => undefined });
// Load only the requested command. Load all of them for the help, or to suggest one for a mistyped name.
const asked = COMMANDS.filter(({ name }) => name === first);
for (const { load } of asked.length === 0 ? COMMANDS : asked) (await load())(program);

// A reader that closes the pipe early (`| head`) is not a failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

try {
  await program.parseAsync();
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

// What a command leaves open must not keep it running: a worker's runtime after a failed start, or a call that Temporal's client would retry
// on a closed connection.
process.stdout.write('', () => process.exit());

function asUsageError(error: { readonly code: string; readonly message: string }): UsageError {
  const problem =
    error.code === 'commander.help' ? 'no command is given' : error.message.replace(/^error: /, '');
  return new UsageError(problem, 'holdfast COMMAND --help shows what there is, with an example.');
}
