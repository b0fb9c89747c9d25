import type { Argument, Command, Option } from 'commander';

/** The manual page `holdfast(1)`, in roff's man macros, made from the only definition of the command line. */
export function manPage(program: Command, version: string): string {
  return [
    `.TH HOLDFAST 1 "" "holdfast ${escaped(version)}" "User Commands"`,
    '.SH NAME',
    `holdfast \\- ${escaped(withoutDot(program.description()))}`,
    '.SH SYNOPSIS',
    '.B holdfast',
    '.I command',
    '[\\fIargument\\fR ...] [\\fIoption\\fR ...]',
    '.SH DESCRIPTION',
    line(
      `${sentence(program.description())} A plan is named by its file or, from a folder with plans/, by its name.`,
    ),
    '.SH COMMANDS',
    ...program.commands.flatMap((command) => section(command, '')),
    '.SH EXIT STATUS',
    ...EXIT_STATUS.flatMap(([code, meaning]) => ['.TP', `.B ${code}`, line(meaning)]),
    '.SH SEE ALSO',
    line(
      'The folder docs of the package: scripting.md for JSON, exit codes and variables of the environment, plan-language.md for plans, operations.md for the worst hour.',
    ),
    '',
  ].join('\n');
}

const EXIT_STATUS: readonly (readonly [number, string])[] = [
  [0, 'Done.'],
  [1, 'Failed: the run or the command failed, or a verification or a drill found damage.'],
  [2, 'Wrong usage, or an invalid plan.'],
  [3, 'Inconclusive: it could not be checked, or the command was told to detach before the end was known.'],
];

function section(command: Command, above: string): readonly string[] {
  const name = `${above}${command.name()}`;
  const operands = command.registeredArguments;
  const synopsis = [name, ...operands.map(operandOf), ...(command.commands.length > 0 ? ['command'] : [])];
  return [
    `.SS ${escaped(synopsis.join(' '))}`,
    line(sentence(command.description())),
    ...operands.flatMap(describeOperand),
    ...command.options.filter((option) => !option.hidden).flatMap(describeOption),
    ...exampleOf(command),
    ...command.commands.flatMap((one) => section(one, `${name} `)),
  ];
}

function operandOf(operand: Argument): string {
  const name = `${operand.name()}${operand.variadic ? '...' : ''}`;
  return operand.required ? `<${name}>` : `[${name}]`;
}

function describeOperand(operand: Argument): readonly string[] {
  if (operand.description === '' && operand.argChoices === undefined) return [];
  return [
    '.TP',
    `.I ${escaped(operand.name())}`,
    line(`${sentence(operand.description)}${choicesOf(operand.argChoices)}`),
  ];
}

function describeOption(option: Option): readonly string[] {
  const { defaultValue } = option;
  const isTold = typeof defaultValue === 'string' || typeof defaultValue === 'number';
  return [
    '.TP',
    `.B ${escaped(option.flags)}`,
    line(
      `${sentence(option.description)}${choicesOf(option.argChoices)}${isTold ? ` Default: ${defaultValue}.` : ''}`,
    ),
  ];
}

function choicesOf(choices: readonly string[] | undefined): string {
  return choices === undefined ? '' : ` One of ${choices.join(', ')}.`;
}

/** The text that a command adds to the end of its help. */
function exampleOf(command: Command): readonly string[] {
  let help = '';
  command.configureOutput({
    writeOut: (text) => {
      help += text;
    },
  });
  command.outputHelp();
  const added = help.replace(command.helpInformation(), '');
  const lines = added.split('\n').filter((text) => text.trim() !== '');
  if (lines.length === 0) return [];
  return ['.PP', '.nf', ...lines.map((text) => line(text)), '.fi'];
}

/** A line of text. A dot or an apostrophe at its beginning is escaped, since roff would take it for a request. */
function line(text: string): string {
  return escaped(text.trim() === '' ? text : text.trimEnd()).replace(/^(?=[.'])/, '\\&');
}

function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('’', '\\(cq')
    .replaceAll('–', '\\(en')
    .replaceAll('…', '...');
}

/** A sentence. Its first word stays as it is, since it may be a name. */
function sentence(text: string): string {
  const trimmed = withoutDot(text.trim());
  return trimmed === '' ? '' : `${trimmed}.`;
}

function withoutDot(text: string): string {
  return text.replace(/\.$/, '');
}
