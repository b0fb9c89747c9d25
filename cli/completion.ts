import type { Command } from 'commander';

/** A command as shells complete it, made from the only definition of the commands. */
interface CompletedCommand {
  readonly name: string;
  readonly description: string;
  readonly options: readonly CompletedOption[];
  readonly commands: readonly CompletedCommand[];
  /** The choices for its first argument, if there are some. */
  readonly choices: readonly string[];
}

interface CompletedOption {
  /** With its leading dashes. */
  readonly long: string;
  readonly description: string;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
}

/** A program's commands, with their options and subcommands. Pure. */
export function describeCommands(program: Command): readonly CompletedCommand[] {
  return program.commands.map((command) => ({
    name: command.name(),
    description: command.description(),
    options: command.options.flatMap(({ long, description, required, optional, argChoices = [] }) =>
      long ? [{ long, description, takesValue: required || optional, choices: argChoices }] : [],
    ),
    commands: describeCommands(command),
    choices: command.registeredArguments[0]?.argChoices ?? [],
  }));
}

/** The script for a shell to read. It offers files where it knows nothing better. Pure. */
export function completionScript(
  shell: 'bash' | 'zsh' | 'fish',
  commands: readonly CompletedCommand[],
): string {
  if (shell === 'fish') return fishScript(commands);
  const script = bashScript(commands);
  return shell === 'bash' ? script : `autoload -U +X bashcompinit && bashcompinit\n${script}`;
}

function bashScript(commands: readonly CompletedCommand[]): string {
  const choices = commands.flatMap(({ name, options }) =>
    options
      .filter((option) => option.choices.length > 0)
      .map(({ long, choices: some }) => `    '${name} ${long}') words='${some.join(' ')}' ;;`),
  );
  const options = commands.map(({ name, options: some, commands: below, choices: first }) => {
    const all = [...some, ...below.flatMap((command) => command.options)].map(({ long }) => long);
    const offered = [...new Set([...all, '--help'])].join(' ');
    return `    ${name}) options='${offered}'; first='${[...below.map((one) => one.name), ...first].join(' ')}' ;;`;
  });
  return `_holdfast() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} command=\${COMP_WORDS[1]}
  local words='' options='' first=''
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${commands.map(({ name }) => name).join(' ')} --help --version' -- "$current"))
    return
  fi
  case "$command $previous" in
${choices.join('\n')}
  esac
  case "$command" in
${options.join('\n')}
  esac
  if [ -n "$words" ]; then :
  elif [ "\${current#-}" != "$current" ]; then words=$options
  elif [ "$COMP_CWORD" -eq 2 ]; then words=$first
  fi
  if [ -n "$words" ]; then COMPREPLY=($(compgen -W "$words" -- "$current"))
  else COMPREPLY=($(compgen -f -- "$current")); fi
}
complete -o filenames -F _holdfast holdfast
`;
}

function fishScript(commands: readonly CompletedCommand[]): string {
  const lines = commands.flatMap(({ name, description, options, commands: below, choices }) => [
    `complete -c holdfast -n __fish_use_subcommand -f -a ${name} -d ${quoted(description)}`,
    ...[...below.map((one) => one.name), ...choices].map(
      (word) => `complete -c holdfast -n '__fish_seen_subcommand_from ${name}' -a ${word}`,
    ),
    ...[...options, ...below.flatMap((one) => one.options)].map((option) => {
      const values =
        option.choices.length > 0
          ? ` -x -a ${quoted(option.choices.join(' '))}`
          : option.takesValue
            ? ' -r'
            : '';
      return `complete -c holdfast -n '__fish_seen_subcommand_from ${name}' -l ${option.long.replace(/^--/, '')}${values} -d ${quoted(option.description)}`;
    }),
  ]);
  return `${lines.join('\n')}\n`;
}

/** Text for fish, in single quotes. */
function quoted(text: string): string {
  return `'${text.replaceAll(/['\\]/g, '\\$&')}'`;
}
