import { setTimeout as sleep } from 'node:timers/promises';
import { permanent } from '../model/errors.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import { decisionLines } from '../planning/decision-text.ts';
import type { PlanRequest } from '../workflows/plan-messages.ts';
import { localZone } from './local-zone.ts';
import { say } from './output.ts';
import { findEntity, sendToEntity } from './plan-entities.ts';
import type { Session } from './session.ts';

const POLL_EVERY_MS = 500;

/**
 * True if the applied plan equals its file: then its entity starts the runs. A file that was changed since is run as it is, without
 * the entity.
 */
export async function isGoverned(session: Session, plan: CompiledPlan): Promise<boolean> {
  const entity = await findEntity(session.client, plan.name);
  if (entity === undefined) return false;
  if (entity.status.pipelineHash === plan.pipeline.hash) return true;
  say(`The file of ${plan.name} differs from what is applied; this runs the file as it stands.`);
  return false;
}

interface RequestedRun {
  readonly requestId: string;
  readonly workflowId: string;
}

/** Asks the entity for a run. Returns when the run has begun, or at once with `detach`. Throws the entity's refusal. */
export async function requestRun(
  session: Session,
  plan: CompiledPlan,
  kind: PlanRequest['kind'],
  argument: object,
  detach: boolean,
): Promise<RequestedRun> {
  const { requestId, workflowId = '' } = await sendToEntity(session.client, plan.name, kind, argument);
  const overwrites = kind === 'restore' && 'replace' in argument && argument.replace === true;
  if (detach && overwrites && plan.restore?.approval !== 'none') say(approvalHint(plan.name, requestId));
  let said = '';
  while (!detach) {
    const entity = await findEntity(session.client, plan.name);
    const request = entity?.status.requests.find((each) => each.requestId === requestId);
    if (request?.state === 'running') break;
    if (request === undefined) {
      const closed = entity?.status.closed.find((each) => each.requestId === requestId);
      // It succeeded or failed. Whoever follows its run learns the rest.
      if (closed?.outcome === 'done' || closed?.outcome === 'failed') break;
      const reason = closed?.told ?? 'the entity does not know the request any more';
      throw permanent(
        closed?.outcome === 'cancelled' ? 'CANCELLED' : 'REFUSED',
        reason,
        'See holdfast status.',
      );
    }
    const telling = waitOf(plan, request);
    if (telling !== said) say(telling);
    said = telling;
    await session.keepAlive();
    await sleep(POLL_EVERY_MS);
  }
  return { requestId, workflowId };
}

function waitOf({ name }: CompiledPlan, { requestId, state, decision }: PlanRequest): string {
  if (state !== 'awaiting-approval') return `Request ${requestId} waits for its turn …`;
  return [
    'It overwrites, and waits for approval:',
    ...(decision === undefined ? [] : decisionLines(decision, localZone()).map((line) => `  ${line}`)),
    `  holdfast approve ${name} ${requestId}   (holdfast cancel ${name} ${requestId} gives it up)`,
  ].join('\n');
}

function approvalHint(plan: string, requestId: string): string {
  return `It overwrites, and waits for approval: holdfast status ${plan} shows what it would do, holdfast approve ${plan} ${requestId} lets it begin.`;
}
