import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowFailedError, type WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import { unlessEnded } from '../library/ending-runs.ts';
import type { RunPlace } from '../library/runs.ts';
import type { DoctorInput, DoctorReport } from '../model/doctor.ts';
import { scratchName } from '../model/drill.ts';
import { transient } from '../model/errors.ts';
import { doctorWorkflowId } from '../workflows/messages.ts';
import type { Interrupts } from './interrupts.ts';

/** A little longer than all questions can take. After that the run ends itself, whatever becomes of this command. */
const AT_MOST = '20 minutes';
/** A worker that polls takes a run much sooner than this. */
const TAKEN_WITHIN_MS = 20_000;
/** How long a cancelled run may take to let an activity end. After that it is terminated. */
const ENDS_WITHIN_MS = 15_000;

/**
 * Has the plan's workers check, and waits for their answers. SIGINT or SIGTERM also ends the run, so that nothing is left behind.
 *
 * @throws HoldfastError (transient) `DOCTOR_NO_WORKER` where no worker takes the run, or only one that is too old;
 * `DOCTOR_INTERRUPTED`; `DOCTOR_FAILED`
 */
export async function askWorkers(
  place: RunPlace,
  interrupts: Interrupts,
  plan: string,
  input: DoctorInput,
): Promise<DoctorReport> {
  try {
    const handle = await place.client.workflow.start('doctor', {
      workflowId: doctorWorkflowId(plan, scratchName('doctor', new Date())),
      taskQueue: place.taskQueue,
      args: [input],
      workflowExecutionTimeout: AT_MOST,
      staticSummary: `What the workers of ${plan} need (holdfast doctor)`,
    });
    const result: Promise<DoctorReport> = handle.result();
    const ended = result.then(
      () => 'ended' as const,
      () => 'ended' as const,
    );
    const interrupted = interrupts.next();
    if (
      (await Promise.race([ended, interrupted, sleep(TAKEN_WITHIN_MS, 'late' as const, { ref: false })])) ===
      'late'
    ) {
      await refuseUntaken(handle, place.taskQueue);
    }
    if ((await Promise.race([ended, interrupted])) === 'interrupted') await giveUp(handle, ended);
    return await result;
  } catch (error) {
    if (error instanceof WorkflowFailedError) throw failed(error);
    throw error;
  }
}

async function giveUp(
  handle: WorkflowHandleWithFirstExecutionRunId,
  ended: Promise<'ended'>,
): Promise<never> {
  await unlessEnded(handle.cancel());
  if ((await Promise.race([ended, sleep(ENDS_WITHIN_MS, 'late' as const)])) === 'late') {
    await unlessEnded(handle.terminate('holdfast doctor was interrupted'));
  }
  throw transient('DOCTOR_INTERRUPTED', 'interrupted before the workers had answered', 'Ask again.');
}

/**
 * Gives the run up if no workflow task of it has succeeded: no worker took it, or one that doesn't know this workflow. Throws
 * `DOCTOR_NO_WORKER` (transient).
 */
async function refuseUntaken(
  handle: WorkflowHandleWithFirstExecutionRunId,
  taskQueue: string,
): Promise<void> {
  const { events } = await handle.fetchHistory();
  const has = (kind: 'workflowTaskCompletedEventAttributes' | 'workflowTaskFailedEventAttributes') =>
    (events ?? []).some((event) => event[kind] !== undefined && event[kind] !== null);
  if (has('workflowTaskCompletedEventAttributes')) return;
  const isTooOld = has('workflowTaskFailedEventAttributes');
  await unlessEnded(handle.terminate('no worker can answer holdfast doctor'));
  if (isTooOld) {
    throw transient(
      'DOCTOR_NO_WORKER',
      `the worker of ${taskQueue} can’t answer: its Holdfast is older than this command`,
      'Start it again with this version; or look from this machine: holdfast doctor PLAN --here.',
    );
  }
  throw transient(
    'DOCTOR_NO_WORKER',
    `no worker of ${taskQueue} took the question within ${TAKEN_WITHIN_MS / 1000} s`,
    "Start one, with the plan's secrets: holdfast worker. Or look from this machine: holdfast doctor PLAN --here.",
  );
}

function failed(error: WorkflowFailedError): Error {
  return transient(
    'DOCTOR_FAILED',
    `the run that asks the workers ended before they had answered (${error.cause?.message ?? error.message})`,
    'Ask again, or look from this machine: holdfast doctor PLAN --here.',
    error,
  );
}
