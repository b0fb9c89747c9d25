import { formatBytes, formatCount, formatDuration } from '../model/amounts.ts';
import type { Discovered } from '../model/pipeline.ts';
import type { RecoveryHole, RecoveryWindow } from '../model/recovery.ts';
import { archiveLines } from '../planning/archive/standing.ts';
import { memberName } from '../planning/discovery.ts';
import { decisionLines, wishLine } from '../planning/recovery/decision-text.ts';
import type { PlanRequest, PlanStatus, Refusal, RunReport } from './plan-messages.ts';

/**
 * The operator's page of a plan: the current details of its entity in the Temporal UI, as Markdown. Pure. The page is rewritten when
 * something changes, and stays as it is while no worker runs. So its times are absolute, and it says when it compared them with the
 * clock.
 */

const HOLES_SHOWN = 5;
const INSTANTS_SHOWN = 20;

/** The page, as Markdown. */
export function renderPlan(status: PlanStatus, now: Date): string {
  const { survey, surveyFailure, strangeRepository } = status;
  const page = [
    `**${headline(status, now)}**`,
    '',
    `As of ${now.toISOString()}`,
    '',
    ...(strangeRepository === null ? [] : [`⚠ ${strangeRepository}. Check bucket, prefix or mount.`, '']),
    ...(surveyFailure === null
      ? []
      : [`⚠ The repository could not be read (${surveyFailure.at}): ${surveyFailure.reason}`, '']),
    ...(survey?.signed?.problems ?? []).flatMap((problem) => [`⚠ ${problem}`, '']),
    ...(survey?.suspect ?? []).flatMap(({ backup, problem }) => [`⚠ \`${backup}\`: ${problem}`, '']),
    ...discoveryLines(status).flatMap((line) => [line, '']),
    ...(status.discovered === undefined ? [] : [discoveredText(status.discovered), '']),
    '| | |',
    '|---|---|',
    row(
      'last good backup',
      survey?.lastGood,
      ({ backup, instant, level }) => `\`${backup}\`, data of ${dated(instant, now)}, verified: ${level}`,
    ),
    row(
      'backups',
      survey ?? undefined,
      ({ backups, storedBytes, unusable }) =>
        `${formatCount(backups)}, ${formatBytes(storedBytes)} stored${unusable > 0 ? `, ${unusable} unusable` : ''}`,
    ),
    row('next run', nextRun(status, now), (text) => text),
    row(
      'last verification',
      survey?.lastVerification,
      ({ backup, level, verdict, at }) => `${verdict} (${level}) of \`${backup}\`, ${dated(at, now)}`,
    ),
    row(
      'last drill',
      survey?.lastDrill,
      ({ backup, verdict, at, restoreMs }) =>
        `${verdict} of \`${backup}\`, ${dated(at, now)}${restoreMs === undefined ? '' : `, restored in ${formatDuration(restoreMs)}`}`,
    ),
    ...(survey?.locks === undefined
      ? []
      : [
          row('locked', survey.locks, ({ backup, until }) =>
            until === undefined
              ? 'of no backup is known that everything which it needs is locked'
              : `\`${backup}\` with everything that it needs, until ${until}`,
          ),
        ]),
    row(
      'last failure',
      status.lastFailure ?? undefined,
      ({ headline, endedAt }) => `${endedAt ?? ''} ${headline}`,
    ),
    '',
    ...section(
      'Runs now',
      status.running.map((run) => running(run, now)),
    ),
    ...section('Waits', status.requests.filter(({ state }) => state !== 'running').flatMap(waiting)),
    ...section(
      'Archive of changes',
      (survey?.archive ?? []).flatMap((standing) => archiveLines(standing, new Date(survey?.readAt ?? now))),
    ),
    ...section('Can be restored', windowLines(survey?.window, survey?.backups ?? 0)),
    ...section('To restore, send the signal `restore` with', ['```json', example(survey?.window), '```'], ''),
    `Beside the original. To name it: ${example(survey?.window, { into: 'NAME' })}. To put it in the original’s place, after \`approve\`: ${example(survey?.window, { replace: true })}.`,
    '',
    ...section(
      `Refused (${status.refused.count} in all), the last`,
      status.refused.last.slice(0, 1).flatMap(refusal),
    ),
    ...section(
      'Done',
      status.closed
        .slice(0, 5)
        .map(({ closedAt, kind, outcome, told }) => `${closedAt} ${kind} ${outcome}: ${told}`),
    ),
  ];
  return page.map((line) => (line.startsWith('{') ? line : withJsonAsCode(line))).join('\n');
}

/** An instant, and how long it was before the page was written. */
function dated(instant: string, now: Date): string {
  return `${instant} (${formatDuration(Math.max(0, now.getTime() - Date.parse(instant)))} before)`;
}

/** A JSON object, with at most one level of objects in it. */
const JSON_OBJECT = /\{"(?:[^{}`]|\{[^{}`]*\})*\}/g;

/** Puts JSON into backquotes: elsewhere the UI curls the quotes, so that pasted text would be no JSON. */
function withJsonAsCode(line: string): string {
  return line
    .split('`')
    .map((part, index) => (index % 2 === 1 ? part : part.replaceAll(JSON_OBJECT, '`$&`')))
    .join('`');
}

/** Which plan found this one's database. */
export function discoveredText({ by, database, goneSince }: Discovered): string {
  const gone =
    goneSince === undefined
      ? ''
      : `, GONE since ${goneSince}: its backups stay, and nothing of it runs by itself`;
  return `discovered by ${by} (database ${database})${gone}`;
}

/** What a plan with `discover` has found: plans, databases that are gone, and those that can't be plans. */
export function discoveryLines({
  plan,
  discovery,
}: Pick<PlanStatus, 'plan' | 'discovery'>): readonly string[] {
  if (discovery === undefined) return [];
  const { at, members, refused, moreRefused, failure } = discovery;
  const names = members.map(
    ({ database, goneSince }) => `${memberName(plan, database)}${goneSince === undefined ? '' : ' (GONE)'}`,
  );
  return [
    `discovers ${formatCount(members.length)} plans, as of ${at}: ${names.join(', ') || 'none yet'}`,
    ...(failure === undefined ? [] : [`THE DATABASES CAN'T BE LISTED: ${failure}`]),
    ...refused.map(({ database, reason }) => `REFUSED: database ${database}: ${reason}`),
    ...(moreRefused === undefined ? [] : [`REFUSED: ${formatCount(moreRefused)} more databases`]),
  ];
}

/** The next time at which a schedule starts a backup, in words; undefined where no schedule does. */
export function nextRun(
  { survey, paused }: Pick<PlanStatus, 'survey' | 'paused'>,
  now: Date,
): string | undefined {
  if (paused !== null)
    return `none: paused since ${paused.at}${paused.reason === undefined ? '' : ` (${paused.reason})`}`;
  const schedules = survey?.schedules ?? [];
  const next = schedules
    .flatMap(({ id, paused: isPaused, next: times }) => (isPaused ? [] : times.map((at) => ({ id, at }))))
    .filter(({ at }) => Date.parse(at) > now.getTime())
    .sort((one, other) => Date.parse(one.at) - Date.parse(other.at))[0];
  const byHand = schedules.filter(({ paused: isPaused }) => isPaused).map(({ id }) => id);
  const note = byHand.length === 0 ? '' : `; paused by hand: ${byHand.join(', ')}`;
  if (next !== undefined)
    return `${next.at} (${next.id}, in ${formatDuration(Date.parse(next.at) - now.getTime())})${note}`;
  return byHand.length === 0 ? undefined : `none${note}`;
}

function headline(
  { plan, running: runs, survey, requests, paused, strangeRepository }: PlanStatus,
  now: Date,
): string {
  const asks = requests.filter(({ state }) => state === 'awaiting-approval').length;
  const parts = [
    survey?.lastGood === undefined
      ? survey === null
        ? 'its repository is being read'
        : 'NO verified backup'
      : `last good backup of ${dated(survey.lastGood.instant, now)}`,
    ...(runs.length === 0 ? [] : [`${runs.length} running`]),
    ...(asks === 0 ? [] : [`${asks} waiting for APPROVAL`]),
    ...(paused === null ? [] : ['PAUSED']),
    ...(strangeRepository === null ? [] : ['ANOTHER REPOSITORY']),
  ];
  return `Plan ${plan}: ${parts.join(', ')}`;
}

function row<T>(name: string, value: T | undefined, show: (value: T) => string): string {
  return `| ${name} | ${value === undefined ? 'none' : show(value)} |`;
}

function section(title: string, lines: readonly string[], bullet = '- '): readonly string[] {
  if (lines.length === 0) return [];
  return [
    `**${title}**`,
    '',
    ...lines.map((line) => (line.startsWith('  ') ? line : `${bullet}${line}`)),
    '',
  ];
}

function running({ kind, headline, workflowId, startedAt }: RunReport, now: Date): string {
  return `${kind} \`${workflowId}\`, since ${dated(startedAt, now)}: ${headline}`;
}

function waiting(request: PlanRequest): readonly string[] {
  const { kind, requestId, state, decision, wish } = request;
  const asks = state === 'awaiting-approval';
  return [
    `${kind} \`${requestId}\` ${asks ? `waits for the signal \`approve\` {"requestId": "${requestId}"}` : 'waits for its turn'}${request.by === undefined ? '' : `, asked by \`${request.by.replaceAll('`', "'")}\``}`,
    ...(wish === undefined ? [] : [`  - \`${wishLine(wish).replaceAll('`', "'")}\``]),
    ...(decision === undefined ? [] : decisionLines(decision).map((line) => `  - ${line.trim()}`)),
  ];
}

function windowLines(window: RecoveryWindow | undefined, total: number): readonly string[] {
  if (window === undefined) return [];
  const instants = window.instants.slice(-INSTANTS_SHOWN).toReversed();
  const older = total - instants.length;
  return [
    ...window.ranges.map(({ from, to, way }) => `every instant from ${from} to ${to} (${way})`),
    ...(window.holes ?? []).slice(-HOLES_SHOWN).map(holeLine),
    ...instants.map(({ at, backup, verified }) => `${at} \`${backup}\`${verified ? '' : ' (not verified)'}`),
    ...(older > 0 ? [`and ${formatCount(older)} older`] : []),
    ...(instants.length === 0 && window.ranges.length === 0 ? ['nothing yet'] : []),
  ];
}

function holeLine({ from, to, reason }: RecoveryHole): string {
  return `NOT from ${from} to ${to}: ${reason}`;
}

/** The request for the newest instant, ready to be pasted. */
function example(window: RecoveryWindow | undefined, more: object = {}): string {
  const newest = window?.instants.at(-1)?.at ?? window?.ranges.at(-1)?.to;
  return JSON.stringify({ to: newest ?? '2026-11-22T10:04:00Z', ...more });
}

function refusal({ at, message, code, reason, remedy, before, after }: Refusal): readonly string[] {
  return [
    `${at} \`${message}\` (${code}): ${reason}. ${remedy}`,
    ...[before, after].filter((one) => one !== undefined).map((to) => `  - possible: {"to": "${to}"}`),
  ];
}
