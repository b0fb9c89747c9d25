import type { WorkflowHandle } from '@temporalio/client';
import { formatDuration } from '../../model/amounts.ts';
import { defined } from '../../model/defined.ts';

export type History = Awaited<ReturnType<WorkflowHandle['fetchHistory']>>;
type HistoryEvent = NonNullable<History['events']>[number];

/** Something that happened in a run. Field names are those of `logs --json`. */
export interface RunEvent {
  /** ISO 8601, UTC, milliseconds. */
  readonly at: string;
  /** Workflow id of the run, or of the part of it, that the event happened in. */
  readonly workflowId: string;
  readonly kind: 'began' | 'stage' | 'done' | 'retry' | 'failed' | 'cancelled' | 'message' | 'part' | 'ended';
  /** One sentence or clause. */
  readonly text: string;
  /** Name of the activity, if the event is about one. */
  readonly activity?: string;
  /** Number of the attempt, if the activity was tried more than once. */
  readonly attempt?: number;
  /** Code of the error, if there is one. */
  readonly code?: string;
}

/** The events of a history, and the parts of the run that have their own histories. */
interface DescribedHistory {
  readonly events: readonly RunEvent[];
  readonly parts: readonly { readonly workflowId: string; readonly runId: string }[];
}

/** Describes a run's history, in its order. Pure. */
export function describeHistory(workflowId: string, history: History): DescribedHistory {
  const reader = new HistoryReader(workflowId);
  for (const event of history.events ?? []) reader.take(event);
  return reader;
}

interface Begun {
  readonly name: string;
  readonly what: string;
  readonly atMs: number;
  attempt: number;
}

class HistoryReader implements DescribedHistory {
  readonly events: RunEvent[] = [];
  readonly parts: { readonly workflowId: string; readonly runId: string }[] = [];
  readonly #workflowId: string;
  /** Activities, by the number of the event that scheduled each. */
  readonly #activities = new Map<string, Begun>();
  #beganMs = 0;
  #phase = '';

  constructor(workflowId: string) {
    this.#workflowId = workflowId;
  }

  take(event: HistoryEvent): void {
    this.#aboutRun(event);
    this.#aboutActivities(event);
    this.#aboutParts(event);
  }

  #aboutRun(event: HistoryEvent): void {
    const started = event.workflowExecutionStartedEventAttributes;
    if (started) {
      this.#beganMs = millisecondsOf(event);
      const how = started.continuedExecutionRunId ? 'goes on from an earlier history' : 'began';
      this.#add(event, 'began', `${started.workflowType?.name} ${how} on ${started.taskQueue?.name}`);
    }
    const phase = textOf(
      event.upsertWorkflowSearchAttributesEventAttributes?.searchAttributes?.indexedFields?.BackupPhase,
    );
    if (phase !== undefined && phase !== this.#phase) {
      this.#phase = phase;
      this.#add(event, 'stage', phase);
    }
    const signal = event.workflowExecutionSignaledEventAttributes;
    if (signal) this.#add(event, 'message', `got the signal ${signal.signalName}`);
    const update = event.workflowExecutionUpdateAcceptedEventAttributes;
    if (update) this.#add(event, 'message', `took the request ${update.acceptedRequest?.input?.name}`);
    const cancel = event.workflowExecutionCancelRequestedEventAttributes;
    if (cancel) this.#add(event, 'message', `was asked to cancel${because(cancel.cause)}`);

    const took = formatDuration(millisecondsOf(event) - this.#beganMs);
    const failed = event.workflowExecutionFailedEventAttributes;
    if (failed) {
      const { message, code } = innermost(failed.failure);
      this.#add(event, 'ended', `failed after ${took}: ${message}`, defined({ code }));
    }
    const terminated = event.workflowExecutionTerminatedEventAttributes;
    if (terminated) this.#add(event, 'ended', `was terminated after ${took}${because(terminated.reason)}`);
    if (event.workflowExecutionCompletedEventAttributes) this.#add(event, 'ended', `done in ${took}`);
    if (event.workflowExecutionCanceledEventAttributes) this.#add(event, 'ended', `cancelled after ${took}`);
    if (event.workflowExecutionTimedOutEventAttributes) this.#add(event, 'ended', `timed out after ${took}`);
    if (event.workflowExecutionContinuedAsNewEventAttributes)
      this.#add(event, 'ended', 'goes on in a new history');
  }

  #aboutActivities(event: HistoryEvent): void {
    const scheduled = event.activityTaskScheduledEventAttributes;
    if (scheduled) {
      const name = scheduled.activityType?.name ?? '';
      const summary = textOf(event.userMetadata?.summary);
      this.#activities.set(String(event.eventId), {
        name,
        what: summary === undefined ? name : `${name} (${summary})`,
        atMs: millisecondsOf(event),
        attempt: 1,
      });
    }
    const started = event.activityTaskStartedEventAttributes;
    const begun = this.#activities.get(String(started?.scheduledEventId));
    if (started && begun !== undefined) {
      begun.attempt = started.attempt ?? 1;
      // Temporal keeps only the last attempt's error.
      if (started.lastFailure) {
        const { message, code } = innermost(started.lastFailure);
        const before = begun.attempt - 1;
        const times = before === 1 ? 'once' : `${before} times`;
        this.#add(event, 'retry', `${begun.what} failed ${times} and was tried again: ${message}`, {
          activity: begun.name,
          attempt: begun.attempt,
          ...defined({ code }),
        });
      }
    }
    const done = event.activityTaskCompletedEventAttributes;
    if (done) this.#activityEnds(event, done.scheduledEventId, 'done', 'done in');
    const failed = event.activityTaskFailedEventAttributes;
    if (failed) this.#activityEnds(event, failed.scheduledEventId, 'failed', 'failed after', failed.failure);
    const late = event.activityTaskTimedOutEventAttributes;
    if (late) this.#activityEnds(event, late.scheduledEventId, 'failed', 'timed out after', late.failure);
    const cancelled = event.activityTaskCanceledEventAttributes;
    if (cancelled) this.#activityEnds(event, cancelled.scheduledEventId, 'cancelled', 'was cancelled after');
  }

  #activityEnds(
    event: HistoryEvent,
    scheduledEventId: unknown,
    kind: 'done' | 'failed' | 'cancelled',
    words: string,
    failure?: Failure | null,
  ): void {
    const begun = this.#activities.get(String(scheduledEventId));
    if (begun === undefined) return;
    const { name, what, atMs, attempt } = begun;
    const { message, code } = failure ? innermost(failure) : {};
    const tries = attempt > 1 ? `, attempt ${attempt}` : '';
    const reason = message === undefined ? '' : `: ${message}`;
    this.#add(
      event,
      kind,
      `${what} ${words} ${formatDuration(millisecondsOf(event) - atMs)}${tries}${reason}`,
      {
        activity: name,
        ...(attempt > 1 ? { attempt } : {}),
        ...defined({ code }),
      },
    );
  }

  #aboutParts(event: HistoryEvent): void {
    const begun = event.childWorkflowExecutionStartedEventAttributes;
    if (begun) {
      const { workflowId, runId } = begun.workflowExecution ?? {};
      this.parts.push({ workflowId: workflowId ?? '', runId: runId ?? '' });
      this.#add(event, 'part', `began the part ${workflowId}`);
    }
    const failed = event.childWorkflowExecutionFailedEventAttributes;
    if (failed) {
      const { message, code } = innermost(failed.failure);
      this.#add(
        event,
        'failed',
        `the part ${failed.workflowExecution?.workflowId} failed: ${message}`,
        defined({ code }),
      );
    }
    const refused = event.startChildWorkflowExecutionFailedEventAttributes;
    if (refused) this.#add(event, 'failed', `the part ${refused.workflowId} could not be begun`);
  }

  #add(
    event: HistoryEvent,
    kind: RunEvent['kind'],
    text: string,
    more: Pick<RunEvent, 'activity' | 'attempt' | 'code'> = {},
  ): void {
    const at = new Date(millisecondsOf(event)).toISOString();
    this.events.push({ at, workflowId: this.#workflowId, kind, text, ...more });
  }
}

interface Failure {
  readonly message?: string | null;
  readonly cause?: Failure | null;
  readonly applicationFailureInfo?: { readonly type?: string | null } | null;
}

/** The innermost failure, which caused the others. A run reports the same one. */
export function innermost(failure: Failure | null | undefined): {
  readonly message: string;
  readonly code?: string;
} {
  let found = failure;
  while (found?.cause) found = found.cause;
  const code = found?.applicationFailureInfo?.type;
  return { message: found?.message || 'no reason was given', ...(code ? { code } : {}) };
}

function because(reason: string | null | undefined): string {
  return reason ? ` (${reason})` : '';
}

/** The time of an event. Temporal's 64-bit numbers are objects that convert to digits. */
function millisecondsOf({ eventTime }: HistoryEvent): number {
  return Number(String(eventTime?.seconds ?? 0)) * 1_000 + Math.floor((eventTime?.nanos ?? 0) / 1_000_000);
}

/** The text in a payload, if its JSON is a text. Undefined for anything else. */
function textOf(payload: { readonly data?: Uint8Array | null } | null | undefined): string | undefined {
  if (!payload?.data) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(payload.data).toString());
    const [only] = Array.isArray(value) ? value : [value];
    return typeof only === 'string' && only !== '' ? only : undefined;
  } catch {
    return undefined; // The payload holds another kind of value, which no line shows.
  }
}
