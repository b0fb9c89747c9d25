import { type Command, InvalidArgumentError, Option } from 'commander';
import type { NodeSettings } from '../../engines/universe/agent/node-agent.ts';
import { defined } from '../../model/defined.ts';
import packageJson from '../../package.json' with { type: 'json' };
import type { WorkerBuild, WorkKind } from '../../worker/main.ts';
import { type CommonOptions, emit, runCommand, say, UsageError } from '../output.ts';
import { stateDirectory } from '../state.ts';

interface Options extends CommonOptions {
  readonly lanes?: number;
  readonly metrics?: string;
  readonly metricsInterval?: number;
  readonly health?: number;
  readonly only?: WorkKind;
  readonly tserver: readonly string[];
  readonly dataDirs?: string;
  readonly tserverWebPort?: number;
  readonly deployment?: string;
  readonly buildId?: string;
}

export function register(program: Command): void {
  program
    .command('worker')
    .description(
      'host workflows and activities; Temporal’s address comes from TEMPORAL_ADDRESS or its own config file',
    )
    .option('--lanes <n>', 'slots: chunks in flight in this process; bounds its memory (default 8)', positive)
    .option('--metrics <host:port>', 'serve Prometheus metrics; also HOLDFAST_METRICS')
    .option(
      '--metrics-interval <seconds>',
      'how often they look into the repositories (default 300)',
      positive,
    )
    .option('--health <port>', 'serve /healthz on 127.0.0.1', positive)
    .addOption(
      new Option(
        '--only <kind>',
        'host one kind of work: read-points keeps PostgreSQL snapshots apart, archive streams changes, prune keeps the credentials that may delete',
      ).choices(['lanes', 'read-points', 'prune', 'archive']),
    )
    .option(
      '--tserver <host:port>',
      'be the agent of this tablet server (its RPC address, as the universe names it); repeated for several',
      address,
      [],
    )
    .option('--data-dirs <dir,dir>', 'its fs_data_dirs; left out, the tablet server is asked')
    .option('--tserver-web-port <port>', 'where it is asked (default 9000)', positive)
    .option(
      '--deployment <name>',
      'take only work of this worker’s build of the deployment (docs/upgrading.md); also HOLDFAST_DEPLOYMENT',
    )
    .option('--build-id <id>', 'the build (default: the version of Holdfast); also HOLDFAST_BUILD_ID')
    .option('--json', 'one JSON document on stdout, once it polls')
    .addHelpText(
      'after',
      '\nExamples:\n  TEMPORAL_ADDRESS=temporal:7233 holdfast worker --lanes 4 --metrics 0.0.0.0:9464' +
        '\n  TEMPORAL_ADDRESS=temporal:7233 holdfast worker --tserver 10.0.0.1:9100',
    )
    .action((options: Options) =>
      runCommand(options, async () => {
        const nodes = nodesOf(options);
        const build = nodes.length > 0 ? undefined : buildOf(options);
        const { loadWithoutBundler } = await import('../without-bundler.ts');
        loadWithoutBundler();
        const { runWorker } = await import('../../worker/main.ts');
        const metrics = options.metrics ?? process.env.HOLDFAST_METRICS;
        await runWorker({
          ...defined({ slots: options.lanes, metricsAddress: metrics }),
          ...(options.metricsInterval === undefined
            ? {}
            : { metricsIntervalMs: options.metricsInterval * 1_000 }),
          ...defined({ healthPort: options.health, only: options.only, build }),
          ...(nodes.length === 0 ? {} : { nodes }),
          onReady: () => {
            if (options.json) emit({ pid: process.pid });
            else say(`worker ${process.pid} is ready`);
            if (build !== undefined) say(howToUse(build));
            // The command that started this worker waits for this message.
            process.send?.('ready');
          },
        });
        return undefined;
      }),
    );
}

function nodesOf(options: Options): readonly NodeSettings[] {
  const { tserver: addresses, dataDirs, tserverWebPort: webPort } = options;
  if (addresses.length === 0 && dataDirs !== undefined) {
    throw new UsageError('--data-dirs is of a tablet server', 'Name it with --tserver host:port.');
  }
  if (addresses.length > 1 && dataDirs !== undefined) {
    throw new UsageError(
      '--data-dirs is of one tablet server, and several are named',
      'Leave it out, so that each is asked for its own; or run a worker for each.',
    );
  }
  if (addresses.length > 0 && (options.deployment ?? options.buildId) !== undefined) {
    throw new UsageError(
      'an agent of a tablet server belongs to no deployment, since it serves the runs of every build',
      'Leave out --deployment and --build-id.',
    );
  }
  if (addresses.length > 0 && options.only !== undefined) {
    throw new UsageError('--only and --tserver exclude each other', 'Leave out one of them.');
  }
  const dataDirectories = dataDirs?.split(',').filter((directory) => directory !== '');
  return addresses.map((each) => ({
    address: each,
    ...defined({ dataDirectories, webPort }),
    stateDirectory: stateDirectory(),
  }));
}

/** The build that the options name, or else the environment. An empty variable counts as none. */
function buildOf(options: Options): WorkerBuild | undefined {
  const deployment = options.deployment ?? process.env.HOLDFAST_DEPLOYMENT;
  const buildId = options.buildId ?? process.env.HOLDFAST_BUILD_ID;
  if (!deployment) {
    if (!buildId) return undefined;
    throw new UsageError('a build ID is given, but no deployment', 'Name it: --deployment NAME.');
  }
  if (/[.:]|^__/.test(deployment)) {
    throw new UsageError(
      `“${deployment}” can’t be the name of a deployment`,
      'Choose a name without a dot or a colon that does not begin with __ (Temporal allows no other).',
    );
  }
  return { deployment, buildId: buildId || packageJson.version };
}

function howToUse({ deployment, buildId }: WorkerBuild): string {
  return `It is build ${buildId} of ${deployment}, and takes new work while that build is current: holdfast deployment ${deployment} --make-current ${buildId}`;
}

function address(text: string, previous: readonly string[]): readonly string[] {
  if (!/^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/.test(text)) {
    throw new InvalidArgumentError('write host:port, e.g. 10.0.0.1:9100');
  }
  return [...previous, text];
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('write a whole number above 0');
  return value;
}
