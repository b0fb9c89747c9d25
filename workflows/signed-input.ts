import {
  ApplicationFailure,
  log,
  type WorkflowInboundCallsInterceptor,
  type WorkflowInterceptorsFactory,
  type WorkflowInternalsInterceptor,
  workflowInfo,
} from '@temporalio/workflow';
import { type MarkedPayload, unsignedPayloadSince } from '../model/payload-signature.ts';
import { forgetDatabase, ran } from './plan-messages.ts';
import { sentBy } from './sender.ts';

type Activate = Parameters<NonNullable<WorkflowInternalsInterceptor['activate']>>[0];
type Job = NonNullable<Activate['activation']['jobs']>[number];

const UNSIGNED_INPUT = 'UNSIGNED_INPUT';
const REFUSAL =
  'This was not sent by a command or a worker of this installation, whose signature it lacks. Use the installation’s own commands (docs/security.md).';

/**
 * Tells handlers who sent what they take (`currentSender`), and refuses what this installation didn't sign, where the installation has a key: starts, results of activities and children, updates, and
 * signals except those that people send to a plan. It checks payloads before the SDK reads them, and synchronously, so it doesn't change
 * the order of what a workflow does: recorded histories replay. Runs that began before the installation had its key go on.
 */
export const interceptors: WorkflowInterceptorsFactory = () => {
  let startIsForged = false;
  const forgedUpdates = new Set<string>();
  // Signals of one name reach their handler in the order in which they came; those of different names may not.
  const senders = new Map<string, string[]>();
  const updaters = new Map<string, string>();

  const internals: WorkflowInternalsInterceptor = {
    activate(input, next) {
      const { activation } = input;
      for (const job of activation.jobs ?? []) {
        startIsForged ||= isAnyForged(job.initializeWorkflow?.arguments);
        if (isAnyForged(job.doUpdate?.input)) forgedUpdates.add(job.doUpdate?.id ?? '');
        refuseResult(job.resolveActivity?.result);
        refuseResult(job.resolveChildWorkflowExecution?.result);
      }
      activation.jobs = activation.jobs?.filter((job) => !isForgedSignal(job)) ?? null;
      for (const { signalWorkflow: signal, doUpdate: update } of activation.jobs ?? []) {
        const name = signal?.signalName ?? '';
        if (signal != null) senders.set(name, [...(senders.get(name) ?? []), signal.identity ?? '']);
        if (update != null) updaters.set(update.id ?? '', update.meta?.identity ?? '');
      }
      next(input);
    },
  };
  const inbound: WorkflowInboundCallsInterceptor = {
    execute: (input, next) =>
      startIsForged ? Promise.reject(ApplicationFailure.nonRetryable(REFUSAL, UNSIGNED_INPUT)) : next(input),
    validateUpdate(input, next) {
      try {
        if (forgedUpdates.has(input.updateId)) throw ApplicationFailure.nonRetryable(REFUSAL, UNSIGNED_INPUT);
        sentBy(updaters.get(input.updateId), () => next(input));
      } catch (error) {
        // What is refused here reaches no handler. A plan lives for years, and may refuse many.
        updaters.delete(input.updateId);
        forgedUpdates.delete(input.updateId);
        throw error;
      }
    },
    // The SDK skips the validator of an update that, by the history, was accepted. A stranger's worker could have written that.
    handleUpdate(input, next) {
      if (forgedUpdates.has(input.updateId)) {
        return Promise.reject(ApplicationFailure.nonRetryable(REFUSAL, UNSIGNED_INPUT));
      }
      const updater = updaters.get(input.updateId);
      updaters.delete(input.updateId);
      return sentBy(updater, () => next(input));
    },
    handleSignal: (input, next) => sentBy(senders.get(input.signalName)?.shift(), () => next(input)),
  };
  return { inbound: [inbound], internals: [internals] };
};

function isForged(payload: MarkedPayload | null | undefined): boolean {
  const since = unsignedPayloadSince(payload);
  return since !== undefined && workflowInfo().startTime.getTime() >= since;
}

function isAnyForged(payloads: readonly MarkedPayload[] | null | undefined): boolean {
  return payloads?.some(isForged) ?? false;
}

/** Signals to a plan that no person types: runs and commands send them, signed. */
const NO_PERSONS: readonly string[] = [ran.name, forgetDatabase.name];

/**
 * Signals that people type are never signed. Only plans take them, and a plan does with them only what its applied file allows. One that no plan knows, such as a
 * misspelt one, comes through too, since the plan's page tells it.
 */
function isForgedSignal({ signalWorkflow }: Job): boolean {
  if (signalWorkflow == null || !isAnyForged(signalWorkflow.input)) return false;
  const { signalName } = signalWorkflow;
  if (workflowInfo().workflowType === 'plan' && !NO_PERSONS.includes(signalName ?? '')) return false;
  log.warn(`The signal ${signalName} was ignored. ${REFUSAL}`);
  return true;
}

interface Result {
  completed?: { readonly result?: MarkedPayload | null } | null;
  failed?: { readonly failure?: object | null } | null;
}

/** Replaces a forged result with a failure. */
function refuseResult(result: Result | null | undefined): void {
  if (result == null || !isForged(result.completed?.result)) return;
  result.completed = null;
  result.failed = {
    failure: {
      message: REFUSAL,
      source: 'holdfast',
      applicationFailureInfo: { type: UNSIGNED_INPUT, nonRetryable: true },
    },
  };
}
