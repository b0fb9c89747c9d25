import { type Command, Option } from 'commander';
import { readDuration } from '../../compiler/duration.ts';
import type { RestoreWishes } from '../../library/runs.ts';
import { formatAmount } from '../../model/amounts.ts';
import type { RestoreSummary } from '../../model/backup.ts';
import { defined } from '../../model/defined.ts';
import type { InClusterSummary } from '../../model/in-cluster.ts';
import { describeLeftOut } from '../../model/left-out-text.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { RecoveryDecision, RecoveryRequest } from '../../model/recovery.ts';
import { describeRows } from '../../model/rows.ts';
import { databaseNameProblem, keyspaceNameProblem } from '../../model/target-name.ts';
import type { FollowRunOptions } from '../follow-run.ts';
import { HERE } from '../here.ts';
import { EXIT, type ExitCode, emit, print, runCommand, say, UsageError } from '../output.ts';
import { checkReason, recordHere } from '../record-act.ts';
import { withoutSigning } from '../without-signing.ts';

interface Options extends FollowRunOptions {
  readonly to?: string;
  readonly backup?: string;
  readonly nearest: 'before' | 'exact';
  readonly verified?: boolean;
  readonly explain?: boolean;
  readonly into: readonly string[];
  readonly tables: readonly string[];
  readonly excludeTables: readonly string[];
  readonly replace?: boolean;
  readonly safetyBackup: boolean;
  readonly owner?: string;
  readonly placement: 'source' | 'target';
  readonly connectionEnv?: string;
  readonly schemaOnly?: boolean;
  readonly dataOnly?: boolean;
  readonly asNew?: boolean;
  readonly globals?: boolean;
  readonly check: 'rows' | 'content';
  readonly tolerate?: boolean;
  readonly takeName?: boolean;
  readonly breakOthers?: boolean;
  readonly checkIndexesFor?: string;
  readonly trustUnsigned?: boolean;
  readonly reason?: string;
  readonly parallelism: string;
}

export function register(program: Command): void {
  program
    .command('restore')
    .argument('<plan>', 'a plan’s name or file')
    .description('restore the newest backup, a given one, or the one of an instant, into a new database')
    .option('--backup <id>', 'this backup (holdfast list shows them)')
    .option(
      '--to <time>',
      'the data of exactly this instant: ISO 8601 or as psql prints it, with UTC, an offset or a zone’s name; now; -1d12h',
    )
    .addOption(
      new Option(
        '--nearest <which>',
        'where nothing holds that instant: refuse, or take the newest before it',
      )
        .choices(['exact', 'before'])
        .default('exact'),
    )
    .option('--verified', 'pass over backups that no verification found good')
    .option('--explain', 'say which backup it would be and why, at what cost, and restore nothing')
    .option('--into <name>', 'the new database’s name; several: source=name, repeated', collect, [])
    .option('--tables <pattern>', 'only tables that match schema.table, repeated', collect, [])
    .option('--exclude-tables <pattern>', 'not these tables, repeated', collect, [])
    .option(
      '--replace',
      'restore beside, check, then take the original’s name; the original is kept under another',
    )
    .option('--no-safety-backup', 'with --replace: do not back up first what is there now')
    .option(
      '--owner <role>',
      'everything belongs to this role; left out, what the plan’s `restore.owner` says',
    )
    .addOption(
      new Option(
        '--placement <whose>',
        'splits, tablegroups and colocation of YugabyteDB’s tables: as at the source, or the target’s own',
      )
        .choices(['source', 'target'])
        .default('source'),
    )
    .option('--connection-env <name>', 'restore to the server whose URL this variable of the worker holds')
    .option('--schema-only', 'no data')
    .option('--data-only', 'into existing tables; of an applied plan, it waits for approval')
    .option(
      '--as-new',
      'YCQL: write rows at the time of the restore, over what was written or deleted since the backup',
    )
    .option('--globals', 'create missing roles from the backup first')
    .option(
      '--check <what>',
      'compare with the manifest at the end: rows, or content (every row’s hash, and indexes with their tables)',
      'rows',
    )
    .option(
      '--check-indexes-for <duration>',
      'longest time for comparing each database’s indexes; 10m with --check content, else they are not compared',
    )
    .option(
      '--tolerate',
      'leave out what the server refuses, as pg_restore does, and list it; exit 1, and the database keeps its working name',
    )
    .option('--take-name', 'with --tolerate: take the final name even where something was left out')
    .option(
      '--break-others',
      'with --replace: also where xCluster replication or readers of changes break by it; they are named at the end',
    )
    .option(
      '--trust-unsigned',
      'this once, restore what no trusted key signed: whoever wrote it decides which SQL is run',
    )
    .option('--parallelism <n>', 'chunks and indexes at once', '2')
    .option('--reason <text>', 'why; it is recorded (holdfast audit)')
    .option('--detach', 'start it and return')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExample:\n  holdfast restore plans/orders.yaml --to -15m --nearest before --into orders_before_the_accident',
    )
    .action((argument: string, options: Options) => runCommand(options, () => run(argument, options)));
}

async function run(argument: string, options: Options) {
  checkOptions(options);
  const { resolvePlan } = await import('../../library/plan-files.ts');
  const { beginRestore } = await import('../../library/begin-restore.ts');
  const { chooseWay, describeBackup } = await import('../../library/recovery.ts');
  const { ownerOf } = await import('../../library/explain-restore.ts');
  const { wishesOf } = await import('../../library/restoring.ts');
  const { runOf } = await import('../../library/run-handle.ts');
  const { describeInstant } = await import('../../planning/instant.ts');
  const { localZone } = await import('../local-zone.ts');
  const { followRun } = await import('../follow-run.ts');
  const { hintAtApproval, tellingWaits } = await import('../waiting.ts');

  const plan = trusting(await resolvePlan(argument), options);
  // Only CQL needs this option: its cells have write times, and newer cells in the target would win over restored ones.
  if (options.asNew && plan.pipeline.source.engine !== 'ycql') {
    throw new UsageError(
      `--as-new is for YCQL, and the source of ${plan.name} is of engine ${plan.pipeline.source.engine}`,
      'Leave it out.',
    );
  }
  checkNames(plan, options);
  const { requireBackup } = await import('../../library/backups.ts');
  if (options.backup !== undefined) await requireBackup(HERE, plan, options.backup);
  const request = requestOf(options);
  if (options.explain) return explain(plan, request, options);
  const way = await chooseWay(HERE, plan, request);
  if ('schedule' in way) return goBack(plan, way, options);
  const chosen = await describeBackup(HERE, plan, way);
  const wishes: RestoreWishes = {
    ...wishesOf(way),
    ...(options.connectionEnv === undefined ? {} : { connection: { env: options.connectionEnv } }),
    into: targetNames(options, chosen.databases),
    replace: options.replace === true,
    safety: options.safetyBackup,
    tables: { include: options.tables, exclude: options.excludeTables },
    contents: options.schemaOnly ? 'schema' : options.dataOnly ? 'data' : 'all',
    ...(options.asNew === true ? { asNew: true } : {}),
    ...defined({ owner: options.owner ?? ownerOf(plan) }),
    ...(options.placement === 'source' ? {} : { placement: options.placement }),
    globals: options.globals === true,
    check: options.check,
    ...(options.tolerate ? { tolerate: true } : {}),
    ...(options.takeName ? { takeName: true } : {}),
    ...(options.breakOthers ? { breakOthers: true } : {}),
    ...(options.checkIndexesFor === undefined ? {} : { indexCheckMs: milliseconds(options.checkIndexesFor) }),
    parallelism: Number(options.parallelism),
  };
  return followRun<RestoreSummary>(
    options,
    { plan, ...(options.connectionEnv === undefined ? {} : { variables: [options.connectionEnv] }) },
    async (session) => {
      await record(plan, `of ${chosen.backup}`, options);
      const begun = await beginRestore(session, plan, wishes, {
        ...tellingWaits(plan.name),
        detach: options.detach === true,
        // An applied plan always requires its signatures. Only a person may leave them out, for one run, so the entity isn't asked.
        pastEntity: options.trustUnsigned === true,
      });
      const overwrites = options.replace || options.dataOnly;
      if (options.detach && overwrites) hintAtApproval(plan, begun);
      return {
        run: runOf<RestoreSummary>(session, begun.workflowId),
        title: `Restoring ${chosen.backup} (data of ${describeInstant(new Date(chosen.instant), localZone())})`,
        names: { plan: plan.name, backup: chosen.backup, restore: begun.id },
        whenDetached: `Detached; the restore goes on. How far it is: holdfast watch ${plan.name}, or its page in the Temporal UI.`,
      };
    },
    (summary) => report(summary, options),
  );
}

/** Records that the restore was asked for. Before it is, since one that waits for approval may wait for hours. */
function record(plan: CompiledPlan, what: string, options: Options): Promise<void> {
  const { replace, into, trustUnsigned, reason } = options;
  const where = replace ? 'in place of the original' : `into ${into.join(', ') || 'a new database'}`;
  const unsigned = trustUnsigned ? ', whoever signed it' : '';
  return recordHere(plan.name, plan.pipeline.repository, {
    action: 'restore',
    subject: `${what}, ${where}${unsigned}`,
    ...defined({ reason }),
  });
}

/** The plan as this restore must see it: without signatures if `--trust-unsigned` is given. */
function trusting(plan: CompiledPlan, { trustUnsigned }: Options): CompiledPlan {
  if (!trustUnsigned) return plan;
  if (plan.pipeline.repository.signing === undefined) {
    throw new UsageError(
      `--trust-unsigned says nothing here: the repository of ${plan.name} has no \`signing\``,
      'Leave it out.',
    );
  }
  say(
    'warning: signatures are not asked for: whoever wrote this backup decides which SQL is run, with the rights of the connection.',
  );
  return withoutSigning(plan);
}

/** Restores by the universe's own history. Reads no backup. */
async function goBack(
  plan: CompiledPlan,
  { way, instant }: { readonly way: 'rewind' | 'clone'; readonly instant: string },
  options: Options,
): Promise<ExitCode> {
  const { beginInCluster, namesInHistory } = await import('../../library/begin-restore.ts');
  const { runOf } = await import('../../library/run-handle.ts');
  const { followRun } = await import('../follow-run.ts');
  const { hintAtApproval, tellingWaits } = await import('../waiting.ts');
  const names = namesInHistory(plan);
  const into = way === 'clone' ? targetNames(options, names) : {};
  const breaking = options.breakOthers ? ({ breakOthers: true } as const) : {};
  return followRun<InClusterSummary>(
    options,
    { plan },
    async (session) => {
      await record(plan, `to ${instant}`, options);
      const wish = { way, instant, into, safety: options.safetyBackup, ...breaking };
      const waiting = { ...tellingWaits(plan.name), detach: options.detach === true };
      const begun = await beginInCluster(session, plan, wish, waiting);
      if (options.detach && way === 'rewind') hintAtApproval(plan, begun);
      return {
        run: runOf<InClusterSummary>(session, begun.workflowId),
        title: `${way === 'rewind' ? 'Rewinding' : 'Cloning'} ${names.join(', ')} to ${instant}, by the universe's own history`,
        names: { plan: plan.name, restore: begun.id },
        whenDetached: `Detached; it goes on. How far it is: holdfast watch ${plan.name}, or its page in the Temporal UI.`,
      };
    },
    (summary) => reportInCluster(summary, options),
  );
}

function reportInCluster(summary: InClusterSummary, options: Options): ExitCode {
  if (options.json) {
    emit(summary);
    return EXIT.done;
  }
  for (const { from, to } of summary.databases) {
    const safety = summary.safetySnapshots[from];
    print(
      summary.way === 'clone'
        ? `${to} is ${from} as it was at ${summary.instant}.`
        : `${from} is as it was at ${summary.instant}.${safety === undefined ? '' : ` What was there is in the universe's snapshot ${safety} for three days.`}`,
    );
  }
  for (const note of summary.notes ?? []) print(note);
  for (const chore of summary.chores) print(`To do: ${chore}`);
  return EXIT.done;
}

function requestOf({
  to,
  backup,
  nearest,
  verified,
  replace,
  breakOthers,
  tables,
  excludeTables,
}: Options): RecoveryRequest {
  return {
    ...defined({ to, backup }),
    nearest,
    verified: verified === true,
    replace: replace === true,
    ...(breakOthers === true ? { breakOthers } : {}),
    // The planner only needs to know that there is a selection, since some recovery methods can't restore single tables.
    ...(tables.length + excludeTables.length === 0 ? {} : { tables: [...tables, ...excludeTables] }),
  };
}

/** Prints the decision. A refusal has the exit code 1 or 2 that the restore itself would have. */
async function explain(plan: CompiledPlan, request: RecoveryRequest, options: Options): Promise<ExitCode> {
  const { explainRestore } = await import('../../library/index.ts');
  const { decisionLines } = await import('../../planning/recovery/decision-text.ts');
  const { describeForesight } = await import('../../library/foresight.ts');
  const { localZone } = await import('../local-zone.ts');
  const { connectionEnv, owner, globals } = options;
  const document = await explainRestore(plan, request, HERE, {
    ...(connectionEnv === undefined ? {} : { connection: { env: connectionEnv } }),
    ...defined({ owner }),
    globals: globals === true,
  });
  const { decision, target } = document;
  await checkTargets(plan, decision, options);
  if (options.json) emit(document);
  else {
    for (const line of decisionLines(decision, localZone())) print(line);
    if (target !== undefined) print(`  ${describeForesight(target)}`);
  }
  if (decision.kind === 'restore') return EXIT.done;
  return decision.code === 'BAD_REQUEST' || decision.code === 'BAD_INSTANT' ? EXIT.usage : EXIT.failed;
}

/** Throws if `--into` is wrong, as the restore itself would. */
async function checkTargets(plan: CompiledPlan, decision: RecoveryDecision, options: Options): Promise<void> {
  if (options.into.length === 0 || decision.kind !== 'restore') return;
  const { namesInHistory } = await import('../../library/begin-restore.ts');
  if (!('backup' in decision)) return void targetNames(options, namesInHistory(plan));
  const { describeBackup } = await import('../../library/recovery.ts');
  targetNames(options, (await describeBackup(HERE, plan, decision)).databases);
}

function checkOptions(options: Options): void {
  checkReason(options.reason);
  if (options.schemaOnly && options.dataOnly) {
    throw new UsageError('--schema-only and --data-only exclude each other', 'Leave out one of them.');
  }
  if (options.backup !== undefined && options.to !== undefined) {
    throw new UsageError('--backup and --to both choose the backup', 'Leave out one of them.');
  }
  if (options.replace && options.into.length > 0) {
    throw new UsageError(
      '--replace takes the original’s name, so --into has no meaning',
      'Leave out one of them.',
    );
  }
  if (options.takeName && !options.tolerate) {
    throw new UsageError(
      '--take-name is about what --tolerate leaves out',
      'Add --tolerate, or leave it out.',
    );
  }
  if (options.breakOthers && !options.replace) {
    throw new UsageError(
      '--break-others is about what --replace overwrites',
      'Add --replace, or leave it out.',
    );
  }
  if (options.trustUnsigned && options.replace) {
    throw new UsageError(
      '--trust-unsigned and --replace exclude each other: what nobody signed is not put over the original',
      'Restore it beside the original, with --into, and look at it first.',
    );
  }
  if (options.tolerate && options.dataOnly) {
    throw new UsageError(
      '--tolerate leaves out objects, and --data-only restores none',
      'Leave out one of them.',
    );
  }
  if (options.check !== 'rows' && options.check !== 'content') {
    throw new UsageError(`--check ${options.check} is not known`, 'Write --check rows or --check content.');
  }
  if (!/^[1-9]\d?$/.test(options.parallelism)) {
    throw new UsageError(
      `--parallelism ${options.parallelism} is not a number from 1 to 99`,
      'Write e.g. 4.',
    );
  }
}

function milliseconds(duration: string): number {
  const read = readDuration(duration);
  if ('value' in read) return read.value;
  throw new UsageError(`--check-indexes-for: ${read.problem.message}`, 'Write e.g. 30m.');
}

/** Refuses names that no database or keyspace can have, whatever the backup contains. */
function checkNames({ pipeline }: CompiledPlan, { into }: Options): void {
  const check = pipeline.source.engine === 'ycql' ? keyspaceNameProblem : databaseNameProblem;
  for (const entry of into) {
    const wrong = check(entry.slice(entry.indexOf('=') + 1));
    if (wrong !== undefined) throw new UsageError(`--into: ${wrong.problem}`, wrong.remedy);
  }
}

/** The new names by database: `NAME` for a backup of one database, `source=NAME` for each of several. */
function targetNames(options: Options, databases: readonly string[]): Record<string, string> {
  const names: Record<string, string> = {};
  const [only] = databases;
  for (const entry of options.into) {
    const split = databases.find((name) => entry.startsWith(`${name}=`));
    if (split !== undefined) names[split] = entry.slice(split.length + 1);
    else if (databases.length === 1 && only !== undefined && !entry.includes('=')) names[only] = entry;
    else {
      throw new UsageError(
        `--into ${entry} does not say which database of the backup it is for`,
        `Write e.g. --into ${only ?? 'source'}=NAME; the backup holds ${databases.join(', ')}.`,
      );
    }
  }
  return names;
}

function report(summary: RestoreSummary, options: Options): ExitCode {
  const code = { OK: EXIT.done, FAILED: EXIT.failed, INCONCLUSIVE: EXIT.inconclusive }[summary.verdict];
  if (options.json) {
    emit(summary);
    return code;
  }
  for (const { from, to, kept } of summary.databases) {
    print(`${from} is restored as ${to}.${kept === undefined ? '' : ` What was there is kept as ${kept}.`}`);
  }
  for (const note of summary.notes ?? []) print(note);
  if (summary.safetyBackup !== undefined)
    print(`What was there is also saved as backup ${summary.safetyBackup}.`);
  for (const item of summary.leftOut ?? []) {
    print(describeLeftOut(item));
    if (item.because === 'error' && item.sql !== '') print(indented(item.sql));
  }
  if (summary.leftOutMore !== undefined) print(`… and ${summary.leftOutMore} more.`);
  for (const problem of summary.problems) print(`differs: ${problem}`);
  print(
    `${describeRows(summary)} in ${formatAmount(summary.tables, 'table')}; compared with the manifest: ${summary.verdict}${summary.compared === undefined ? '' : ` (${summary.compared})`}.`,
  );
  return code;
}

function indented(text: string): string {
  return text.replaceAll(/^/gm, '    ');
}

function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value];
}
