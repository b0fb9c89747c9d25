import type { Command } from 'commander';
import { type CommonOptions, emit, runCommand, say } from '../output.ts';

export function register(program: Command): void {
  program
    .command('down')
    .description(
      'stop the embedded Temporal server and its workers that run in the background; unfinished runs go on at the next start',
    )
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExample:\n  holdfast down            # holdfast status --processes shows what runs',
    )
    .action((options: CommonOptions) => runCommand(options, () => stopBackground(options)));
}

/** Ends the server and its workers, and prints whether any were running. */
export async function stopBackground({ json }: CommonOptions): Promise<undefined> {
  const { stopEmbedded } = await import('../embedded.ts');
  const stopped = await stopEmbedded();
  if (json) emit({ stopped });
  else say(stopped ? 'Stopped.' : 'Nothing was running.');
  return undefined;
}
