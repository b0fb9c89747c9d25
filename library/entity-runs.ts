import { setTimeout as sleep } from 'node:timers/promises';
import { permanent } from '../model/errors.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import type { PlanRequest } from '../workflows/plan-messages.ts';
import { findEntity, sendToEntity } from './plan-entities.ts';
import type { RunPlace } from './runs.ts';

const POLL_EVERY_MS = 500;

/**
 * True if the applied plan equals its file: then its entity starts the runs. A file that was changed since is run as it is, without
 * the entity.
 */
export async function isGoverned({ client, tell }: RunPlace, plan: CompiledPlan): Promise<boolean> {
  const entity = await findEntity(client, plan.name);
  if (entity === undefined) return false;
  if (entity.status.pipelineHash === plan.pipeline.hash) return true;
  tell?.(`The file of ${plan.name} differs from what is applied; this runs the file as it stands.`);
  return false;
}

interface RequestedRun {
  readonly requestId: string;
  readonly workflowId: string;
}

/** How long to wait for a run that a plan's entity was asked for. */
export interface Waiting {
  /** True: return as soon as the request is accepted, though its run may have to wait. */
  readonly detach?: boolean;
  /** Called every half a second with the request while its run has not begun. */
  readonly onWait?: (request: PlanRequest) => void;
}

/** Asks the entity for a run. Returns when the run has begun, or at once with `detach`. Throws the entity's refusal. */
export async function requestRun(
  place: RunPlace,
  plan: string,
  kind: PlanRequest['kind'],
  argument: object,
  { detach = false, onWait }: Waiting,
): Promise<RequestedRun> {
  const { requestId, workflowId = '' } = await sendToEntity(place.client, plan, kind, argument);
  while (!detach) {
    const entity = await findEntity(place.client, plan);
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
    onWait?.(request);
    await place.keepAlive?.();
    await sleep(POLL_EVERY_MS);
  }
  return { requestId, workflowId };
}
