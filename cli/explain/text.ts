import { writeDuration } from '../../compiler/duration.ts';
import type { ValueOrigin } from '../../compiler/origins.ts';
import { formatSize } from '../../compiler/size.ts';
import { flow } from '../../compiler/wording.ts';
import { artifactName, type ExplainedPlan, type ExplainedStep } from '../../library/explained-plan.ts';
import { formatAmount } from '../../model/amounts.ts';
import type { NotifyTarget } from '../../model/notification.ts';
import type {
  Artifact,
  LogicalSource,
  NamePatterns,
  RetryPolicy,
  Schedule,
  SecretRef,
  UniverseSource,
  YcqlSource,
  YsqlSource,
} from '../../model/pipeline.ts';
import { spanInWords, type TransferWindow } from '../../model/transfer-window.ts';
import { placeOf } from '../place.ts';

const COLUMNS = ['STEP', 'WHEN', 'ACTIVITY', 'QUEUE', 'PARALLEL', 'RETRY', 'TIMEOUT', 'IN → OUT'] as const;

/** The pipeline as a table for a terminal. */
export function drawText(plan: ExplainedPlan): string {
  const facts: readonly (readonly [string, string])[] = [
    ['plan', `${plan.plan} (${plan.file})`],
    ...(plan.discover === undefined ? [] : [['discover', describeDiscover(plan)] as const]),
    ...(plan.discovered === undefined
      ? []
      : [
          [
            'discovered',
            `by ${plan.discovered.by}, where the database ${plan.discovered.database} exists; the minutes of its schedules follow from its name`,
          ] as const,
        ]),
    ['source', describeSource(plan)],
    ['repository', describeRepository(plan)],
    ['schedule', describeSchedule(plan)],
    ...(plan.window === null ? [] : [['window', describeWindow(plan.window)] as const]),
    ...(plan.priority === null ? [] : [['priority', `${plan.priority} of 5, 1 first`] as const]),
    ['retention', describeRetention(plan)],
    ['drill', describeDrill(plan)],
    ['notify', describeNotify(plan)],
    ['hash', plan.hash],
  ];
  const widest = Math.max(...facts.map(([name]) => name.length));
  const head = facts.map(([name, value]) => `${name.padEnd(widest)}  ${value}`);
  return [...head, '', ...table([COLUMNS, ...plan.steps.map(row)]), ...valuesOf(plan)].join('\n');
}

function describeDiscover({ plan, discover }: ExplainedPlan): string {
  return `each database becomes a plan ${plan}-<database> (holdfast explain of that name shows it); looked for every ${writeDuration(discover?.everyMs ?? 0)}`;
}

/** Where the values of a plan came from. Empty for a plan that is made of no template: its file shows them. */
function valuesOf({ values }: ExplainedPlan): readonly string[] {
  if (!values.some(({ from }) => from === 'template' || from === 'parameter')) return [];
  const rows = values.map((origin) => [origin.field, flow(origin.value), placeInWords(origin)]);
  return ['', ...table([['VALUE', '', 'FROM'], ...rows])];
}

function placeInWords({ from, file, line, parameters = [] }: ValueOrigin): string {
  const place = file === undefined ? '' : ` ${file}:${line}`;
  return parameters.length === 0 ? `${from}${place}` : `${from} ${parameters.join(', ')},${place}`;
}

function row(step: ExplainedStep): readonly string[] {
  return [
    step.step,
    step.when,
    describeActivities(step.activities),
    step.queue,
    String(step.parallelism),
    describeRetry(step.retry),
    writeDuration(step.timeoutMs),
    describeFlow(step),
  ];
}

function describeActivities(activities: readonly string[]): string {
  return activities.length <= 2 ? activities.join(', then ') : `${activities[0]} … ${activities.at(-1)}`;
}

function table(rows: readonly (readonly string[])[]): readonly string[] {
  const [head = []] = rows;
  const widths = head.map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)));
  return rows.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** `20 tries, 1s to 1m apart`. */
function describeRetry(retry: RetryPolicy): string {
  const { maximumAttempts, initialIntervalMs, maximumIntervalMs } = retry;
  if (maximumAttempts === 1) return '1 try';
  const tries = maximumAttempts === 0 ? 'any number of' : String(maximumAttempts);
  return `${tries} tries, ${writeDuration(initialIntervalMs)} to ${writeDuration(maximumIntervalMs)} apart`;
}

function describeFlow({ inputs, output }: ExplainedStep): string {
  const into = (Object.keys(inputs) as Artifact[]).map(artifactName).join(', ');
  if (into === '' && output === null) return '·';
  return `${into === '' ? '·' : into} → ${output === null ? '·' : artifactName(output)}`;
}

function describeSource({ source }: ExplainedPlan): string {
  switch (source.engine) {
    case 'ysql':
      return describeYsql(source);
    case 'ycql':
      return describeYcql(source);
    case 'universe':
      return describeUniverse(source);
  }
}

function describeYsql(source: YsqlSource): string {
  const parts: string[] = [source.engine, `connection from ${describeSecret(source.connection)}`];
  if (source.databases !== undefined) parts.push(`databases ${describePatterns(source.databases)}`);
  const dump = source.dumpProgram === undefined ? [] : [`schema by ${source.dumpProgram}`];
  const format = source.format === undefined ? [] : [`rows as ${source.format}`];
  return [...parts, ...describeRows(source), ...dump, ...format, describeChunks(source)].join(', ');
}

function describeYcql(source: YcqlSource): string {
  const { engine, contactPoints, port, keyspaces, consistencyLevel } = source;
  return [
    engine,
    `${contactPoints.join(' ')} port ${port}`,
    `keyspaces ${describePatterns(keyspaces)}`,
    `a scan at ${consistencyLevel}, not one instant`,
    ...describeRows(source),
    describeChunks(source),
  ].join(', ');
}

function describeRows({ tables, contents, globals }: LogicalSource): readonly string[] {
  return [
    `tables ${describePatterns(tables)}`,
    ...(contents === 'all' ? [] : [`${contents} only`]),
    ...(globals === 'none' ? [] : [`globals: ${globals}`]),
  ];
}

function describeChunks({ chunkBytes }: LogicalSource): string {
  return `chunks of ${formatSize(chunkBytes)}`;
}

function describeUniverse({ masters, databases, keyspaces, globals, limits }: UniverseSource): string {
  const parts = ['universe', `masters ${masters.join(', ')}`];
  if (databases.length > 0) parts.push(`databases ${databases.join(', ')}`);
  if (keyspaces.length > 0) parts.push(`keyspaces ${keyspaces.join(', ')}`);
  if (globals !== 'none') parts.push(`globals: ${globals}`);
  parts.push(`${limits.tasksPerNode} tasks a node`);
  return parts.join(', ');
}

function describeSecret(reference: SecretRef): string {
  return 'env' in reference ? `environment variable ${reference.env}` : `file ${reference.file}`;
}

function describePatterns({ include, exclude }: NamePatterns): string {
  const included = include.length === 0 ? 'all' : include.join(' ');
  return exclude.length === 0 ? included : `${included} but ${exclude.join(' ')}`;
}

function describeRepository({ repository: { name, location } }: ExplainedPlan): string {
  const at =
    location.kind === 'directory' || location.endpoint === undefined ? '' : ` at ${location.endpoint}`;
  return `${name}, ${placeOf(location)}${at}`;
}

function describeDrill({ drill }: ExplainedPlan): string {
  if (drill === null) return 'none: no backup is restored on trial by itself';
  const { backup, check, assertions, schedule } = drill;
  return `the ${backup} backup, ${check} compared, ${formatAmount(assertions.length, 'assertion')}; ${inWords(schedule ?? null)}`;
}

function describeNotify({ notify }: ExplainedPlan): string {
  if (notify.length === 0) return 'nobody';
  return notify.map(describeTarget).join('; ');
}

function describeTarget(target: NotifyTarget): string {
  const { kind, on } = target;
  switch (kind) {
    case 'ping':
      return `ping (${describeSecret(target.url)}) at the start and end of each backup`;
    case 'email':
      return `email to ${target.to.join(', ')} on ${on.join(', ')}`;
    default:
      return `${kind} (${describeSecret(target.url)}) on ${on.join(', ')}`;
  }
}

function describeSchedule({ schedule }: ExplainedPlan): string {
  return inWords(schedule);
}

function describeWindow({ spans, timezone }: TransferWindow): string {
  return `${spans.map(spanInWords).join(' and ')} ${timezone}; outside of it the transfer pauses`;
}

function inWords(schedule: Schedule | null): string {
  if (schedule === null) return 'none: started by hand';
  return `${schedule.cron.join(' and ')} ${schedule.timezone}, overlap ${schedule.overlap}`;
}

function describeRetention({ retention }: ExplainedPlan): string {
  if (retention === null) return 'everything is kept';
  return Object.entries(retention)
    .map(([rule, value]) => {
      if (typeof value === 'number' && rule.endsWith('Ms')) {
        return `${rule.slice(0, -'Ms'.length)} ${writeDuration(value)}`;
      }
      return `${rule} ${Array.isArray(value) ? value.join(' and ') : value}`;
    })
    .join(', ');
}
