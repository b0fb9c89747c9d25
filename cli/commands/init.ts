import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import type { Reading } from '../../compiler/diagnostic.ts';
import { makeFolder } from '../../repository/directory/make-folder.ts';
import { type CommonOptions, EXIT, emit, print, runCommand, UsageError } from '../output.ts';
import { type PlanAnswers, type PlanDraft, planTemplate, SCHEMA_FILE } from '../plan-template.ts';

interface Options extends CommonOptions, PlanDraft {
  readonly out?: string;
  readonly force?: boolean;
}

export function register(program: Command): void {
  program
    .command('init')
    .argument('[name]', 'name of the plan, such as orders-nightly')
    .description('write a commented plan file, after asking on a terminal or from flags')
    .option('--connection-env <name>', 'environment variable of the worker that holds the database’s URL')
    .option('--directory <path>', 'back up to a directory that every worker sees')
    .option('--bucket <name>', 'back up to an S3 bucket')
    .option('--prefix <prefix>', 'part of the object keys below which the backups stand')
    .option('--region <region>', 'region of the bucket')
    .option('--endpoint <url>', 'address of an S3 store other than AWS')
    .option('--cron <line>', 'when backups start by themselves, such as "0 2 * * *"')
    .option('--timezone <zone>', 'time zone of --cron')
    .option('--out <file>', 'where to write it; plans/<name>.yaml when left out')
    .option('--force', 'overwrite a file that is there')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExample:\n  holdfast init orders-nightly --bucket acme-backups --region eu-west-1 --cron "0 2 * * *"',
    )
    .action((name: string | undefined, options: Options) => runCommand(options, () => run(name, options)));
}

async function run(name: string | undefined, options: Options) {
  const { compile } = await import('../../compiler/compile.ts');
  const { planJsonSchema } = await import('../../compiler/json-schema.ts');
  const { InvalidPlanError } = await import('../../library/plan-files.ts');
  const { askForPlan, isInteractive } = await import('../plan-questions.ts');
  const draft: PlanDraft = name === undefined ? options : { ...options, name };
  await requireFitting(draft);
  const answers = isInteractive() && !options.json ? await askForPlan(draft) : fromFlags(draft);
  const file = options.out ?? join('plans', `${answers.name}.yaml`);
  const text = planTemplate(answers);
  const source = { path: file, text };
  const { diagnostics } = compile([source]);
  if (diagnostics.length > 0)
    throw new InvalidPlanError('The plan that these answers make', diagnostics, [source]);

  await makeFolder(dirname(file));
  if (!(await write(file, text, options.force === true))) {
    throw new UsageError(
      `${file} is there already.`,
      'Choose another with --out, or overwrite it with --force.',
    );
  }
  const schema = join(dirname(file), SCHEMA_FILE);
  await write(schema, `${JSON.stringify(planJsonSchema(), undefined, 2)}\n`, false);
  if (options.json) emit({ plan: answers.name, file, schema });
  else {
    print(`Wrote ${file}. Next:`);
    print(`  holdfast explain ${file}`);
    print(`  ${answers.connectionEnv}=postgresql://… holdfast backup ${file}`);
    if (answers.cron !== undefined)
      print(`  holdfast apply ${file}   # from then on its schedule starts backups`);
  }
  return EXIT.done;
}

/** Checks the flags before any question is asked. Reports each value once, even if the plan file contains it several times. */
async function requireFitting(draft: PlanDraft): Promise<void> {
  const { readCron } = await import('../../compiler/cron.ts');
  const { readAbsolutePath, readBucket, readEnvironmentName, readName } = await import(
    '../../compiler/names.ts'
  );
  /** The values that can be checked on their own, with their names on the command line. */
  const readers: readonly (readonly [keyof PlanDraft, string, (text: string) => Reading<string>])[] = [
    ['name', 'The name of the plan', readName],
    ['connectionEnv', '--connection-env', readEnvironmentName],
    ['directory', '--directory', readAbsolutePath],
    ['bucket', '--bucket', readBucket],
    ['cron', '--cron', readCron],
  ];
  for (const [key, what, read] of readers) {
    const given = draft[key];
    const reading = given === undefined ? undefined : read(given);
    if (reading === undefined || 'value' in reading) continue;
    throw new UsageError(`${what} can't be used: ${reading.problem.message}.`, reading.problem.remedy);
  }
}

function fromFlags(draft: PlanDraft): PlanAnswers {
  const { name, connectionEnv = environmentNameFor(name ?? ''), directory, bucket } = draft;
  if (name === undefined) throw new UsageError('The plan has no name.', 'Write `holdfast init NAME`.');
  if ((directory === undefined) === (bucket === undefined)) {
    throw new UsageError(
      'A plan needs one place for its backups.',
      'Write either --directory PATH or --bucket NAME.',
    );
  }
  return { ...draft, name, connectionEnv };
}

/** The default variable for a plan's URL: `ORDERS_NIGHTLY_DATABASE_URL` for `orders-nightly`. */
function environmentNameFor(name: string): string {
  return `${name.toUpperCase().replace(/[^A-Z0-9]+/g, '_')}_DATABASE_URL`.replace(/^(?=[0-9])/, '_');
}

/** Returns false if the file exists and may not be overwritten. */
async function write(file: string, text: string, force: boolean): Promise<boolean> {
  try {
    await writeFile(file, text, { flag: force ? 'w' : 'wx' });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}
