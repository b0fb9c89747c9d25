import type { BegunRestore } from '../library/begin-restore.ts';
import type { Waiting } from '../library/entity-runs.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import { decisionLines } from '../planning/recovery/decision-text.ts';
import type { PlanRequest } from '../workflows/plan-messages.ts';
import { overwrites } from '../workflows/plan-run-inputs.ts';
import { localZone } from './local-zone.ts';
import { say } from './output.ts';

/** Says what a request waits for, once for each reason. */
export function tellingWaits(plan: string): Waiting {
  let said = '';
  return {
    onWait: (request) => {
      const telling = waitOf(plan, request);
      if (telling !== said) say(telling);
      said = telling;
    },
  };
}

function waitOf(plan: string, request: PlanRequest): string {
  const { requestId, state, decision } = request;
  if (state !== 'awaiting-approval') return `Request ${requestId} waits for its turn …`;
  return [
    `${overwrites(request) ? 'It overwrites, and waits' : 'It waits'} for approval:`,
    ...(decision === undefined ? [] : decisionLines(decision, localZone()).map((line) => `  ${line}`)),
    `  holdfast approve ${plan} ${requestId}   (holdfast cancel ${plan} ${requestId} gives it up)`,
  ].join('\n');
}

/** Says how an overwriting restore is approved that was asked for without waiting for it. */
export function hintAtApproval({ name, restore }: CompiledPlan, { requestId }: BegunRestore): void {
  if (requestId === undefined || restore?.approval === 'none') return;
  say(
    `It overwrites, and waits for approval: holdfast status ${name} shows what it would do, holdfast approve ${name} ${requestId} lets it begin.`,
  );
}
