import type { Command } from 'commander';
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
    .action((options: Options) => runCommand(options, () => run(options)));
}

async function run({ markdown }: Options) {
  const { planJsonSchema } = await import('../../compiler/json-schema.ts');
  const { planReference } = await import('../../compiler/reference.ts');
  print(markdown ? planReference() : JSON.stringify(planJsonSchema(), undefined, 2));
  return EXIT.done;
}
