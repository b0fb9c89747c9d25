import type { UnappliedStatus } from '../../library/status.ts';
import { formatAge, formatDuration } from '../../model/amounts.ts';
import type { RecoveryWindow } from '../../model/recovery.ts';
import type { PlanSurvey } from '../../model/survey.ts';
import { archiveLines } from '../../planning/archive/standing.ts';
import { decisionLines, wishLine } from '../../planning/recovery/decision-text.ts';
import { timelineLines } from '../../planning/timeline.ts';
import type { PlanRequest, PlanStatus } from '../../workflows/plan-messages.ts';
import { discoveredText, discoveryLines, nextRun } from '../../workflows/plan-page.ts';

/** The state of a plan, for people at a terminal. Pure. */

const CLOSED_SHOWN = 3;

/** One line of a list of plans. */
export function lineOf(status: PlanStatus, now: Date): string {
  const { plan, survey, surveyFailure, paused, running, requests } = status;
  const next = paused === null ? nextRun(status, now) : undefined;
  if (status.discovery !== undefined) return [plan, ...discoveryLines(status)].join('  ');
  return [
    plan,
    ...(status.discovered === undefined ? [] : [discoveredText(status.discovered)]),
    survey?.lastGood === undefined
      ? 'NO verified backup'
      : `last good ${formatAge(survey.lastGood.instant, now)}`,
    ...(paused === null ? [next === undefined ? 'no next run' : `next ${next}`] : ['PAUSED']),
    ...(surveyFailure === null ? [] : ['its repository can’t be read']),
    ...(status.strangeRepository ? ['ANOTHER REPOSITORY'] : []),
    ...running.map(({ kind, headline }) => `${kind}: ${headline}`),
    ...(requests.some(({ state }) => state === 'awaiting-approval') ? ['WAITS FOR APPROVAL'] : []),
  ].join('  ');
}

/** The page of an applied plan, from its entity's status. */
export function pageOf(status: PlanStatus, now: Date): readonly string[] {
  const { plan, file, survey, surveyFailure, paused, running, requests, closed, refused } = status;
  const [refusal] = refused.last;
  return [
    `Plan ${plan} (${file}, applied ${status.appliedAt})${paused === null ? '' : `  PAUSED since ${paused.at}${paused.reason === undefined ? '' : `: ${paused.reason}`}`}`,
    ...(status.discovered === undefined ? [] : [discoveredText(status.discovered)]),
    ...discoveryLines(status),
    ...(surveyFailure === null
      ? []
      : [`The repository could not be read (${surveyFailure.at}): ${surveyFailure.reason}`]),
    ...(status.strangeRepository ? [`ANOTHER REPOSITORY: ${status.strangeRepository}`] : []),
    ...surveyLines(survey, now),
    `next run:          ${nextRun(status, now) ?? 'none'}`,
    ...running.map(
      ({ kind, workflowId, headline }) => `running:           ${kind} ${workflowId}: ${headline}`,
    ),
    ...requests.filter(({ state }) => state !== 'running').flatMap((request) => waitingLines(plan, request)),
    ...closed
      .slice(0, CLOSED_SHOWN)
      .map(({ kind, outcome, told, closedAt }) => `${closedAt}  ${kind} ${outcome}: ${told}`),
    ...(refusal === undefined
      ? []
      : [`refused: ${refused.count}, the last ${refusal.at}: ${refusal.reason}. ${refusal.remedy}`]),
    '',
    ...windowLines(survey, now),
  ];
}

/** The page of a plan that isn't applied: what its repository contains. */
export function unappliedPageOf(
  { plan, file, survey, running }: UnappliedStatus,
  now: Date,
): readonly string[] {
  return [
    `Plan ${plan} (${file}): not applied, so nothing of it runs by itself (holdfast apply)`,
    ...surveyLines(survey, now),
    ...running.map(
      ({ kind, workflowId, startedAt }) => `running:           ${kind} ${workflowId}, since ${startedAt}`,
    ),
    '',
    ...windowLines(survey, now),
  ];
}

function surveyLines(survey: PlanSurvey | null, now: Date): readonly string[] {
  const { lastGood, lastVerification, lastDrill, archive = [], locks } = survey ?? {};
  const restored = lastDrill?.restoreMs;
  return [
    `last good backup:  ${lastGood === undefined ? 'none' : `${lastGood.backup}, data of ${lastGood.instant} (${formatAge(lastGood.instant, now)}), verified: ${lastGood.level}`}`,
    `last verification: ${lastVerification === undefined ? 'none' : `${lastVerification.verdict} (${lastVerification.level}) of ${lastVerification.backup}, ${formatAge(lastVerification.at, now)}`}`,
    `last drill:        ${lastDrill === undefined ? 'none' : `${lastDrill.verdict} of ${lastDrill.backup}, ${formatAge(lastDrill.at, now)}${restored === undefined ? '' : `, restored in ${formatDuration(restored)}`}`}`,
    ...archive.flatMap((standing) => archiveLines(standing, new Date(survey?.readAt ?? now))),
    ...(locks === undefined ? [] : [`locked:            ${lockText(locks, now)}`]),
    ...(survey?.held ?? []).map(({ backup, held }) => `held:              ${backup}: ${held}`),
    ...(survey === null ? [] : signatureLines(survey)),
  ];
}

/** Whether a forger could make a restore or a drill run what he wrote, and signs that somebody has tried. */
function signatureLines({ signed, suspect = [] }: PlanSurvey): readonly string[] {
  return [
    signed === undefined
      ? 'signed:            no: whoever can write into the repository decides what a restore or a drill runs (docs/signing.md)'
      : `signed:            yes${signed.problems.length === 0 ? ', and the register of backups agrees with what is there' : ''}`,
    ...(signed?.problems ?? []).map((problem) => `NOT AS REGISTERED: ${problem}`),
    ...suspect.map(({ backup, problem }) => `NOT USABLE:        ${backup}: ${problem}`),
  ];
}

function lockText({ backup, until }: NonNullable<PlanSurvey['locks']>, now: Date): string {
  if (until === undefined) return 'of no backup is known that everything which it needs is locked';
  const text = `${backup} with everything that it needs, until ${until}`;
  return Date.parse(until) > now.getTime() ? text : `nothing any more: ${text}`;
}

function waitingLines(plan: string, request: PlanRequest): readonly string[] {
  const { kind, requestId, state, decision, wish } = request;
  const asks = state === 'awaiting-approval';
  return [
    `${asks ? 'WAITS FOR APPROVAL' : 'waiting'}: ${kind} ${requestId}${request.by === undefined ? '' : `, asked by ${request.by}`}`,
    ...(wish === undefined ? [] : [`  ${wishLine(wish)}`]),
    ...(decision === undefined ? [] : decisionLines(decision).map((line) => `  ${line}`)),
    ...(asks ? [`  holdfast approve ${plan} ${requestId}`] : []),
  ];
}

function windowLines(survey: PlanSurvey | null, now: Date): readonly string[] {
  const window = survey?.window;
  if (window === undefined || window.instants.length + window.ranges.length === 0) {
    return ['Nothing can be restored yet.'];
  }
  return [...timelineLines(window, { now }), ...(window.ranges.length === 0 ? [] : rangeLines(window))];
}

const RANGES_SHOWN = 5;

/** The newest ranges of which every instant can be reached, and the holes between them. */
function rangeLines({ ranges, holes = [] }: RecoveryWindow): readonly string[] {
  return [
    ...ranges.slice(-RANGES_SHOWN).map(({ from, to, way }) => `every instant from ${from} to ${to} (${way})`),
    ...holes.slice(-RANGES_SHOWN).map(({ from, to, reason }) => `NOT from ${from} to ${to}: ${reason}`),
  ];
}
