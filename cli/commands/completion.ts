import { Argument, type Command } from 'commander';
import type { CommandEntry } from '../command-entry.ts';
import { type CommonOptions, EXIT, runCommand } from '../output.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** @param commands all commands; they are loaded when a script is requested */
export function register(program: Command, commands: readonly CommandEntry[]): void {
  program
    .command('completion')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .description('print what has a shell complete commands, options and their choices')
    .addHelpText(
      'after',
      '\nExamples:\n  source <(holdfast completion bash)                # in ~/.bashrc; zsh alike, in ~/.zshrc after compinit' +
        '\n  holdfast completion fish > ~/.config/fish/completions/holdfast.fish',
    )
    .action((shell: (typeof SHELLS)[number], options: CommonOptions) =>
      runCommand(options, async () => {
        const { completionScript, describeCommands } = await import('../completion.ts');
        const { Command } = await import('commander');
        const all = new Command('holdfast');
        for (const { load } of commands) (await load())(all);
        process.stdout.write(completionScript(shell, describeCommands(all)));
        return EXIT.done;
      }),
    );
}
