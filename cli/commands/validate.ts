import type { Command } from 'commander';
import { type CommonOptions, EXIT, emit, print, runCommand, say } from '../output.ts';
import { placeOf } from '../place.ts';

export function register(program: Command): void {
  program
    .command('validate')
    .argument('<file...>', 'plan files, or directories of them')
    .description('check plan files: every error of every file, at its place; exit 0 valid, 2 invalid')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast validate plans/')
    .action((paths: string[], options: CommonOptions) => runCommand(options, () => run(paths, options)));
}

async function run(paths: readonly string[], { json }: CommonOptions) {
  const { validate } = await import('../../library/index.ts');
  const { document, plans, repositories, templates, render } = await validate(paths);
  const { valid, diagnostics, warnings } = document;
  if (json) {
    emit(document);
  } else {
    const color = process.stderr.isTTY === true && process.env.NO_COLOR === undefined;
    if (!valid) say(render({ color }));
    for (const { name, file, pipeline } of plans) {
      print(`${file}: plan ${name}, ${pipeline.steps.length} steps, ${pipeline.hash.slice(0, 12)}`);
    }
    for (const { name, location } of repositories) {
      print(`repository ${name}, ${placeOf(location)}`);
    }
    for (const { name, file } of templates) print(`${file}: template ${name}`);
    for (const { plan, file, message } of warnings) say(`${file}: warning, plan ${plan}: ${message}`);
    if (!valid) {
      const inFiles = new Set(diagnostics.map(({ file }) => file)).size;
      say(`${counted(diagnostics.length, 'error')} in ${counted(inFiles, 'file')}`);
    }
  }
  return valid ? EXIT.done : EXIT.usage;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
