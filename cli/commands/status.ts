import type { Command } from 'commander';
import { decisionLines } from '../../planning/decision-text.ts';
import { timelineLines } from '../../planning/timeline.ts';
import type { PlanStatus } from '../../workflows/plan-messages.ts';
import { type CommonOptions, emit, print, runCommand, say } from '../output.ts';

export function register(program: Command): void {
  program
    .command('status')
    .argument('[plan]', 'name of a plan, or its file; all applied plans when left out')
    .description('what of a plan runs, waits and comes next, and to which instants it can be restored')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  holdfast status orders')
    .action((plan: string | undefined, options: CommonOptions) =>
      runCommand(options, () => run(plan, options)),
    );
}

async function run(argument: string | undefined, { json }: CommonOptions): Promise<undefined> {
  const { openSession } = await import('../session.ts');
  const { appliedPlans, findEntity, notApplied } = await import('../plan-entities.ts');
  const { planNameOf } = await import('../plan-files.ts');
  const session = await openSession();
  try {
    const names = argument === undefined ? await appliedPlans(session.client) : [await planNameOf(argument)];
    const statuses: PlanStatus[] = [];
    for (const name of names) {
      const entity = await findEntity(session.client, name);
      if (entity !== undefined) statuses.push(entity.status);
      else if (argument !== undefined) throw notApplied(name);
    }
    const [only] = statuses;
    if (json) emit(argument === undefined ? { plans: statuses } : only);
    else if (argument !== undefined && only !== undefined) for (const line of pageOf(only)) print(line);
    else if (statuses.length === 0) say('No plan is applied: holdfast apply does it.');
    else for (const status of statuses) print(lineOf(status));
    return undefined;
  } finally {
    await session.end();
  }
}

function lineOf({ plan, survey, paused, running, requests }: PlanStatus): string {
  const next = nextOf(survey);
  return [
    plan,
    survey?.lastGood === undefined ? 'no verified backup' : `last good ${survey.lastGood.instant}`,
    next === undefined ? 'no next run' : `next ${next.at}`,
    ...(paused === null ? [] : ['paused']),
    ...running.map(({ kind, headline }) => `${kind}: ${headline}`),
    ...(requests.some(({ state }) => state === 'awaiting-approval') ? ['waits for approval'] : []),
  ].join('  ');
}

function pageOf(status: PlanStatus): readonly string[] {
  const { plan, file, survey, surveyFailure, paused, running, requests, closed, refused } = status;
  const next = nextOf(survey);
  const [lastRefusal] = refused.last;
  return [
    `Plan ${plan} (${file}, applied ${status.appliedAt})${paused === null ? '' : `  PAUSED since ${paused.at}${paused.reason === undefined ? '' : `: ${paused.reason}`}`}`,
    ...(surveyFailure === null
      ? []
      : [`The repository could not be read (${surveyFailure.at}): ${surveyFailure.reason}`]),
    `last good backup:  ${survey?.lastGood === undefined ? 'none' : `${survey.lastGood.backup} (${survey.lastGood.instant}, ${survey.lastGood.level})`}`,
    `last verification: ${survey?.lastVerification === undefined ? 'none' : `${survey.lastVerification.verdict} (${survey.lastVerification.level}) of ${survey.lastVerification.backup}, ${survey.lastVerification.at}`}`,
    `last drill:        ${survey?.lastDrill === undefined ? 'none' : `${survey.lastDrill.verdict} of ${survey.lastDrill.backup}, ${survey.lastDrill.at}`}`,
    `next run:          ${next === undefined ? 'none' : `${next.at} (${next.id})`}`,
    ...running.map(
      ({ kind, workflowId, headline }) => `running:           ${kind} ${workflowId}: ${headline}`,
    ),
    ...requests
      .filter(({ state }) => state !== 'running')
      .flatMap(({ kind, requestId, state, decision }) => [
        `${state === 'awaiting-approval' ? 'WAITS FOR APPROVAL' : 'waiting'}: ${kind} ${requestId}`,
        ...(decision === undefined ? [] : decisionLines(decision).map((line) => `  ${line}`)),
        ...(state === 'awaiting-approval' ? [`  holdfast approve ${plan} ${requestId}`] : []),
      ]),
    ...closed
      .slice(0, 3)
      .map(({ kind, outcome, told, closedAt }) => `${closedAt}  ${kind} ${outcome}: ${told}`),
    ...(lastRefusal === undefined
      ? []
      : [
          `refused: ${refused.count}, the last ${lastRefusal.at}: ${lastRefusal.reason}. ${lastRefusal.remedy}`,
        ]),
    '',
    ...(survey === null || survey.window.instants.length + survey.window.ranges.length === 0
      ? ['Nothing can be restored yet.']
      : timelineLines(survey.window, { now: new Date() })),
  ];
}

function nextOf(survey: PlanStatus['survey']): { readonly id: string; readonly at: string } | undefined {
  return (survey?.schedules ?? [])
    .filter(({ paused }) => !paused)
    .flatMap(({ id, next }) => next.map((at) => ({ id, at })))
    .filter(({ at }) => Date.parse(at) > Date.now())
    .sort((one, other) => Date.parse(one.at) - Date.parse(other.at))[0];
}
