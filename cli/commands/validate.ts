import type { Command } from 'commander';
import { type CommonOptions, EXIT, emit, print, runCommand, say } from '../output.ts';

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
  const { compilePlanFiles } = await import('../plan-files.ts');
  const { plans, repositories, templates, diagnostics, files, sources } = await compilePlanFiles(paths);
  const { warningsOf } = await import('../../compiler/warnings.ts');
  const warnings = plans.flatMap((plan) =>
    warningsOf(plan).map((message) => ({ plan: plan.name, file: plan.file, message })),
  );
  const valid = diagnostics.length === 0;
  if (json) {
    emit({
      valid,
      files: files.map(({ path }) => path),
      plans: plans.map(({ name, file, pipeline }) => ({ plan: name, file, hash: pipeline.hash })),
      repositories: repositories.map(({ name }) => name),
      templates: templates.map(({ name }) => name),
      diagnostics,
      warnings,
    });
  } else {
    const color = process.stderr.isTTY === true && process.env.NO_COLOR === undefined;
    if (!valid) {
      const { renderDiagnostics } = await import('../../compiler/render.ts');
      say(renderDiagnostics(diagnostics, sources, { color }));
    }
    for (const { name, file, pipeline } of plans) {
      print(`${file}: plan ${name}, ${pipeline.steps.length} steps, ${pipeline.hash.slice(0, 12)}`);
    }
    for (const { name, location } of repositories) {
      const place = location.kind === 's3' ? `s3://${location.bucket}/${location.prefix}` : location.path;
      print(`repository ${name}, ${place}`);
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
