import type { Command } from 'commander';
import { untilInterrupted } from '../interrupts.ts';
import { type CommonOptions, EXIT, emit, print, runCommand, UsageError } from '../output.ts';

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
    .option('--engine <engine>', 'ysql (on PostgreSQL) or ycql (on Cassandra)', 'ysql')
    .option('--exit', 'end after the last step, instead of leaving everything up to look at')
    .option('--json', 'one JSON document on stdout; implies --exit')
    .addHelpText('after', '\nExample:\n  ./holdfast demo --engine ycql')
    .action((options: Options) =>
      runCommand(options, async () => {
        const { tellStory } = await import('../demo/story.ts');
        const stay = !options.exit && !options.json && process.stdin.isTTY === true;
        const outcome = await tellStory(
          await databaseFor(options.engine),
          stay ? explore : async () => undefined,
        );
        if (options.json) emit(outcome);
        return outcome.verdict === 'OK' ? EXIT.done : EXIT.failed;
      }),
    );
}

const SHOPS = {
  ysql: async () => (await import('../demo/postgres-shop.ts')).startPostgresShop,
  ycql: async () => (await import('../demo/cassandra-shop.ts')).startCassandraShop,
} as const;

function hasShop(engine: string): engine is keyof typeof SHOPS {
  return Object.hasOwn(SHOPS, engine);
}

async function databaseFor(engine: string) {
  if (hasShop(engine)) return SHOPS[engine]();
  throw new UsageError(`--engine ${engine} is not known`, 'Write --engine ysql or --engine ycql.');
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
