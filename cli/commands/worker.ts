import { type Command, InvalidArgumentError, Option } from 'commander';
import { type CommonOptions, emit, runCommand, say } from '../output.ts';

interface Options extends CommonOptions {
  readonly lanes?: number;
  readonly metrics?: string;
  readonly health?: number;
  readonly only?: 'lanes' | 'read-points';
}

export function register(program: Command): void {
  program
    .command('worker')
    .description(
      'host workflows and activities; Temporal’s address comes from TEMPORAL_ADDRESS or its own config file',
    )
    .option('--lanes <n>', 'chunks in flight in this process; bounds its memory (default 8)', positive)
    .option('--metrics <host:port>', 'serve Prometheus metrics')
    .option('--health <port>', 'serve /healthz on 127.0.0.1', positive)
    .addOption(
      new Option(
        '--only <kind>',
        'host one kind of work: read-points keeps PostgreSQL snapshots apart',
      ).choices(['lanes', 'read-points']),
    )
    .option('--json', 'one JSON document on stdout, once it polls')
    .addHelpText(
      'after',
      '\nExample:\n  TEMPORAL_ADDRESS=temporal:7233 holdfast worker --lanes 4 --metrics 0.0.0.0:9464',
    )
    .action((options: Options) =>
      runCommand(options, async () => {
        const { runWorker } = await import('../../worker/main.ts');
        await runWorker({
          ...(options.lanes === undefined ? {} : { lanes: options.lanes }),
          ...(options.metrics === undefined ? {} : { metricsAddress: options.metrics }),
          ...(options.health === undefined ? {} : { healthPort: options.health }),
          ...(options.only === undefined ? {} : { only: options.only }),
          onReady: () => {
            if (options.json) emit({ pid: process.pid });
            else say(`worker ${process.pid} is ready`);
            // A command that started this worker waits for this message.
            process.send?.('ready');
          },
        });
        return undefined;
      }),
    );
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('write a whole number above 0');
  return value;
}
