import type { Command } from 'commander';
import { type CommonOptions, emit, print, runCommand, say } from '../output.ts';

interface Options extends CommonOptions {
  readonly stop?: boolean;
}

export function register(program: Command): void {
  program
    .command('dev')
    .description('run the embedded Temporal server with its UI, and a worker, until Ctrl-C')
    .option('--stop', 'stop the ones that run in the background; unfinished runs go on at the next start')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast dev            # then open the printed address')
    .action((options: Options) =>
      runCommand(options, async () => {
        const { ensureEmbedded, stopEmbedded } = await import('../embedded.ts');
        const { untilInterrupted } = await import('../interrupts.ts');
        if (options.stop) {
          const stopped = await stopEmbedded();
          if (options.json) emit({ stopped });
          else say(stopped ? 'Stopped.' : 'Nothing was running.');
          return undefined;
        }
        const embedded = await ensureEmbedded();
        const { address, uiUrl } = embedded;
        if (options.json) emit({ address, uiUrl });
        else print(`Temporal answers at ${address}, its UI at ${uiUrl}. Ctrl-C stops both and the worker.`);
        await untilInterrupted();
        await stopEmbedded();
        return undefined;
      }),
    );
}
