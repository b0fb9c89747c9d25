import { type Command, Option } from 'commander';
import { type CommonOptions, emit, print, runCommand, say } from '../output.ts';

interface Options extends CommonOptions {
  readonly makeCurrent?: string;
  readonly unversioned?: boolean;
}

export function register(program: Command): void {
  program
    .command('deployment')
    .argument('<name>', 'the deployment that workers were started with: holdfast worker --deployment NAME')
    .description('the builds of a deployment of workers, and which of them takes new work')
    .option(
      '--make-current <build-id>',
      'from now on this build takes new runs, and carries on the entities of plans; runs under way stay on theirs',
    )
    .addOption(
      new Option('--unversioned', 'from now on new work goes to workers without a deployment').conflicts(
        'makeCurrent',
      ),
    )
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExamples:\n  holdfast deployment backups                      # current, draining, drained: may be stopped' +
        '\n  holdfast deployment backups --make-current 0.2.0',
    )
    .action((name: string, options: Options) => runCommand(options, () => run(name, options)));
}

async function run(name: string, { makeCurrent, unversioned = false, json = false }: Options) {
  const { findDeployment, makeBuildCurrent } = await import('../deployments.ts');
  const { findSession } = await import('../session.ts');
  const { permanent } = await import('../../model/errors.ts');
  const session = await findSession({ starts: 'nothing' });
  if (session === undefined) {
    throw permanent(
      'DEPLOYMENT_UNKNOWN',
      `no Temporal is configured, so deployment ${name} has no workers`,
      'Set TEMPORAL_ADDRESS to the server that the workers poll.',
    );
  }
  try {
    const chosen = unversioned ? '' : makeCurrent;
    if (chosen !== undefined) await makeBuildCurrent(session.client, name, chosen);
    const { current, builds } = await findDeployment(session.client, name);
    if (json) {
      emit({ deployment: name, current: current ?? null, builds });
      return undefined;
    }
    for (const { build, state, since } of builds)
      print(`${build}  ${state}${since === undefined ? '' : `, since ${since}`}`);
    if (current === undefined) say('No build is current: new work goes to workers without a deployment.');
    return undefined;
  } finally {
    await session.end();
  }
}
