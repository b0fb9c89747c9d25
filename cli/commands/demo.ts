import type { Command } from 'commander';
import { permanent } from '../../model/errors.ts';
import { cleanUpNow } from '../../parts/guard.ts';
import { catchInterrupts, untilInterrupted } from '../interrupts.ts';
import { type CommonOptions, EXIT, emit, print, runCommand, say, UsageError } from '../output.ts';

interface Options extends CommonOptions {
  readonly exit?: boolean;
  readonly engine: string;
}

export function register(program: Command): void {
  program
    .command('demo')
    .description(
      'the whole story on this machine: back up a real database, kill the worker, resume, restore, compare',
    )
    .option(
      '--engine <engine>',
      'ysql (on PostgreSQL), ycql (on Cassandra) or universe (a simulated one of three nodes, in a checkout alone)',
      'ysql',
    )
    .option('--exit', 'end after the last step, instead of leaving everything up to look at')
    .option('--json', 'one JSON document on stdout; implies --exit')
    .addHelpText('after', '\nExample:\n  ./holdfast demo --engine ycql')
    .action((options: Options) =>
      runCommand(options, async () => {
        const start = await databaseFor(options.engine);
        const { tellStory } = await import('../demo/story.ts');
        const stay = !options.exit && !options.json && process.stdin.isTTY === true;
        const outcome = await unlessInterrupted((seen, signal) => {
          const atTheEnd = async (folder: string) => {
            seen();
            if (stay) await explore(folder);
          };
          return tellStory(start, atTheEnd, signal);
        });
        if (options.json) emit(outcome);
        return outcome.verdict === 'OK' ? EXIT.done : EXIT.failed;
      }),
    );
}

const SHOPS = {
  ysql: async () => (await import('../demo/postgres-shop.ts')).startPostgresShop,
  ycql: async () => (await import('../demo/cassandra-shop.ts')).startCassandraShop,
  universe: async () => (await import('../demo/simulated-universe.ts')).startSimulatedUniverse,
} as const;

function hasShop(engine: string): engine is keyof typeof SHOPS {
  return Object.hasOwn(SHOPS, engine);
}

async function databaseFor(engine: string) {
  if (hasShop(engine)) return SHOPS[engine]();
  throw new UsageError(
    `--engine ${engine} is not known`,
    'Write --engine ysql, --engine ycql or --engine universe.',
  );
}

/**
 * Runs the demo. Ctrl-C, at any moment until it calls `seen`, ends all that it started, and this throws `DEMO_ENDED`. A second one ends this process at once;
 * the guard goes on with the rest. Neither is left to its default, which could end this process between the start of a server and the guard's hearing of it.
 */
async function unlessInterrupted<T>(demo: (seen: () => void, signal: AbortSignal) => Promise<T>): Promise<T> {
  const interrupts = catchInterrupts();
  const ending = new AbortController();
  const outcome = await Promise.race([
    demo(interrupts.stop, ending.signal).then((told) => ({ told })),
    interrupts.next(),
  ]);
  if (outcome !== 'interrupted') return outcome.told;
  ending.abort();
  void interrupts.next().then(() => process.exit(EXIT.failed));
  say('\nEnding the demo and removing all of it …');
  await cleanUpNow();
  throw permanent('DEMO_ENDED', 'the demo was ended', 'Run holdfast demo again.');
}

/** Keeps everything running until Ctrl-C, so that a visitor can look at it. */
async function explore(folder: string): Promise<void> {
  print('');
  print(`Look at the runs in the Temporal UI: ${process.env.HOLDFAST_UI_URL ?? ''}`);
  print('In another terminal, with the same variables, try:');
  for (const name of ['DEMO_DATABASE_URL', 'DEMO_S3_KEY', 'DEMO_S3_SECRET', 'TEMPORAL_ADDRESS']) {
    if (process.env[name] !== undefined) print(`  export ${name}='${process.env[name]}'`);
  }
  const plan = `${folder}/plans/shop.yaml`;
  print(`  ./holdfast list ${plan}`);
  print(`  ./holdfast verify ${plan} --level restore`);
  print(`  ./holdfast explain ${plan}`);
  print('Your own plan: ./holdfast init. Ctrl-C here stops and removes all of the demo.');
  await untilInterrupted();
}
