import { type Command, Option } from 'commander';
import type { ExplainedPlan } from '../../library/index.ts';
import { type CommonOptions, EXIT, emit, print, runCommand } from '../output.ts';

type Format = 'text' | 'mermaid' | 'dot' | 'json';

interface Options extends CommonOptions {
  readonly format: Format;
}

export function register(program: Command): void {
  program
    .command('explain')
    .argument('<plan>', 'a plan’s name or file')
    .description(
      'print what a plan compiles to: steps, activities, queues, retries, timeouts, what flows between',
    )
    .addOption(
      new Option('--format <format>', 'how to draw it')
        .choices(['text', 'mermaid', 'dot', 'json'])
        .default('text'),
    )
    .option('--json', 'the same as --format json')
    .addHelpText('after', '\nExample:\n  holdfast explain plans/orders.yaml --format mermaid')
    .action((plan: string, options: Options) => {
      const json = options.json === true || options.format === 'json';
      return runCommand({ json }, () => run(plan, json ? 'json' : options.format));
    });
}

async function run(argument: string, format: Format) {
  const { explain, openPlan } = await import('../../library/index.ts');
  const plan = await explain(await openPlan(argument), { taskQueue: process.env.HOLDFAST_TASK_QUEUE });
  if (format === 'json') emit(plan);
  else print(await draw(plan, format));
  return EXIT.done;
}

async function draw(plan: ExplainedPlan, format: Exclude<Format, 'json'>): Promise<string> {
  const { drawDot, drawMermaid } = await import('../explain/graph.ts');
  const { drawText } = await import('../explain/text.ts');
  return { text: drawText, mermaid: drawMermaid, dot: drawDot }[format](plan);
}
