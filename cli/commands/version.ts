import type { Command } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { type CommonOptions, EXIT, type ExitCode, emit, print, runCommand, say } from '../output.ts';

interface Options extends CommonOptions {
  readonly all?: boolean;
}

export function register(program: Command): void {
  program
    .command('version')
    .description('the version of this command; with --all also of formats, the server and its workers')
    .option('--all', 'ask the Temporal server and the workers that poll there too; starts nothing')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast version --all       # before and after an upgrade')
    .action((options: Options) => runCommand(options, () => run(options)));
}

async function run({ all = false, json = false }: Options): Promise<ExitCode> {
  const own = { holdfast: packageJson.version, node: process.version };
  if (!all) {
    if (json) emit(own);
    else print(own.holdfast);
    return EXIT.done;
  }
  const { FORMATS, serverAndWorkers } = await import('../versions.ts');
  const { server, workers } = await serverAndWorkers();
  if (json) {
    emit({ ...own, formats: FORMATS, server: server ?? null, workers });
    return EXIT.done;
  }
  print(`holdfast   ${own.holdfast}, Node ${own.node}`);
  for (const [name, versions] of Object.entries(FORMATS))
    print(`format     ${name}: ${versions.reads.join(', ')}, writes ${versions.writes.join(' or ')}`);
  print(
    server === undefined
      ? 'server     none runs'
      : `server     Temporal ${server.version ?? 'of an unknown version'} (${server.which})`,
  );
  for (const { taskQueue, identity, version } of workers)
    print(
      `worker     ${identity} (task queue ${taskQueue}): ${version ?? 'of a version too old to report itself'}`,
    );
  const others = workers.filter(({ version }) => version !== own.holdfast);
  if (others.length > 0)
    say(
      `Not of this version: ${others.map(({ identity }) => identity).join(', ')}. docs/upgrading.md says what may run together.`,
    );
  return EXIT.done;
}
