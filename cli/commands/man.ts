import type { Command } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import type { CommandEntry } from '../command-entry.ts';
import { type CommonOptions, EXIT, runCommand } from '../output.ts';

/** @param commands all commands; they are loaded when the page is requested */
export function register(program: Command, commands: readonly CommandEntry[]): void {
  program
    .command('man')
    .description('print the manual page holdfast(1), with every command and option')
    .addHelpText(
      'after',
      '\nExamples:\n  holdfast man | man -l -\n  holdfast man > /usr/local/share/man/man1/holdfast.1',
    )
    .action((options: CommonOptions) =>
      runCommand(options, async () => {
        const { manPage } = await import('../man-page.ts');
        const { Command } = await import('commander');
        const all = new Command('holdfast').description(program.description());
        for (const { load } of commands) (await load())(all);
        process.stdout.write(manPage(all, packageJson.version));
        return EXIT.done;
      }),
    );
}
