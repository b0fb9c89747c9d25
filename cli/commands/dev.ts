import type { Command } from 'commander';
import { type CommonOptions, emit, print, runCommand, say } from '../output.ts';
import { stopBackground } from './down.ts';

interface Options extends CommonOptions {
  readonly stop?: boolean;
}

export function register(program: Command): void {
  program
    .command('dev')
    .description('run the embedded Temporal server with its UI, and a worker, until Ctrl-C')
    .option('--stop', 'as holdfast down')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast dev            # then open the printed address')
    .action((options: Options) =>
      runCommand(options, async () => {
        if (options.stop) return stopBackground(options);
        const { ensureEmbedded, stopEmbedded, whatStaysOpen } = await import('../embedded.ts');
        const { untilInterrupted } = await import('../interrupts.ts');
        const embedded = await ensureEmbedded({ starts: 'worker', variables: [] });
        if (embedded === undefined) throw new TypeError('what may be started is there');
        const { address, uiUrl, key } = embedded;
        if (options.json) emit({ address, uiUrl });
        else print(`Temporal answers at ${address}, its UI at ${uiUrl}. Ctrl-C stops both and the worker.`);
        if (!options.json) say(whatStaysOpen(key !== undefined));
        await untilInterrupted();
        await stopEmbedded();
        return undefined;
      }),
    );
}
