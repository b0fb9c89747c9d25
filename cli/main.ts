#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { Command, CommanderError } from 'commander';
import { cacheFolder } from '../engines/cache-folder.ts';
import packageJson from '../package.json' with { type: 'json' };
import * as apply from './commands/apply.ts';
import * as backup from './commands/backup.ts';
import * as demo from './commands/demo.ts';
import * as dev from './commands/dev.ts';
import * as doctor from './commands/doctor.ts';
import * as drill from './commands/drill.ts';
import * as explain from './commands/explain.ts';
import * as extract from './commands/extract.ts';
import * as init from './commands/init.ts';
import * as list from './commands/list.ts';
import { MESSAGES as messages } from './commands/messages.ts';
import * as prune from './commands/prune.ts';
import * as report from './commands/report.ts';
import * as restore from './commands/restore.ts';
import * as retention from './commands/retention.ts';
import * as schema from './commands/schema.ts';
import * as show from './commands/show.ts';
import * as status from './commands/status.ts';
import * as validate from './commands/validate.ts';
import * as verify from './commands/verify.ts';
import * as window from './commands/window.ts';
import * as worker from './commands/worker.ts';
import { describeError, EXIT, emit, say, UsageError } from './output.ts';

/**
 * What commands load from here on is kept compiled, which halves the CPU time that a command or a worker needs to start; a folder that can't be written
 * to changes nothing. By the environment, so that processes which this one starts do the same.
 */
process.env.NODE_COMPILE_CACHE ??= cacheFolder('compiled');
enableCompileCache(process.env.NODE_COMPILE_CACHE);

const COMMANDS = [
  demo,
  init,
  validate,
  explain,
  schema,
  apply,
  status,
  backup,
  restore,
  ...messages,
  list,
  show,
  extract,
  verify,
  drill,
  report,
  prune,
  retention,
  window,
  worker,
  dev,
  doctor,
];

const wantsJson = process.argv.includes('--json');

const program = new Command('holdfast')
  .description(
    'Declarative, durable backup and restore for YugabyteDB (YSQL) and PostgreSQL, run by Temporal',
  )
  .version(packageJson.version)
  .exitOverride()
  .showHelpAfterError('(holdfast COMMAND --help shows an example)');
if (wantsJson) program.configureOutput({ writeErr: () => undefined });
for (const command of COMMANDS) command.register(program);

// A reader that closes the pipe early (`| head`) is not a failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  // Help and version are not errors. Errors of usage have been printed already, but with `--json` they are also a document.
  process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
  if (error.exitCode !== 0 && wantsJson) {
    const document = describeError(asUsageError(error));
    emit({ error: document });
    say(`error: ${document.message}`);
  }
}

// What a command leaves open must not keep it running: a worker's runtime after a failed start, or a call that Temporal's client
// would try again on a connection that is closed by now.
process.stdout.write('', () => process.exit());

function asUsageError(error: CommanderError): UsageError {
  const problem =
    error.code === 'commander.help' ? 'no command is given' : error.message.replace(/^error: /, '');
  return new UsageError(problem, 'holdfast COMMAND --help shows what there is, with an example.');
}
