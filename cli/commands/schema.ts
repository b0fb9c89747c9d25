import type { Command } from 'commander';
import { planJsonSchema } from '../../compiler/json-schema.ts';
import { planReference } from '../../compiler/reference.ts';
import { type CommonOptions, EXIT, print, runCommand } from '../output.ts';

interface Options extends CommonOptions {
  readonly markdown?: boolean;
}

export function register(program: Command): void {
  program
    .command('schema')
    .description('print the JSON Schema of plan files, for editors and other tools')
    .option('--markdown', 'print the reference of the plan language instead')
    .option('--json', 'the JSON Schema; the default')
    .addHelpText('after', '\nExample:\n  holdfast schema > plans/holdfast.schema.json')
    .action((options: Options) => runCommand(options, async () => run(options)));
}

function run({ markdown }: Options) {
  print(markdown ? planReference() : JSON.stringify(planJsonSchema(), undefined, 2));
  return EXIT.done;
}
