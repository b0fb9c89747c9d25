import { defaultPayloadConverter, type Headers } from '@temporalio/common';
import {
  ContinueAsNew,
  proxySinks,
  type Sink,
  type Sinks,
  type WorkflowInterceptorsFactory,
  workflowInfo,
} from '@temporalio/workflow';
import { defined } from '../model/defined.ts';
import {
  type FinishedSpan,
  readTraceHeader,
  TRACE_HEADER,
  TRACE_SINK,
  type TraceContext,
  traceHeader,
  traceOfRun,
} from '../model/trace.ts';
import { describeFailure } from './failures.ts';
import { PERSONS_MESSAGES } from './plan-messages.ts';

/** Spans of workflows, as the worker takes them. */
export interface TraceSinks extends Sinks {
  readonly [TRACE_SINK]: Sink & { span(span: FinishedSpan): void };
}

declare global {
  /** True in a worker that sends traces (`worker/tracing.ts`). */
  var holdfastTraces: boolean | undefined;
}

/** These live for long and serve many. What one of them does for a message belongs to the message's trace, and the rest to none. */
const SERVES_MANY: ReadonlySet<string> = new Set(['plan', 'sourceGate', 'archive']);

/** The span of the message that is handled right now. */
let handled: TraceContext | undefined;

/** The span of the message whose handler runs right now. Undefined outside of a handler, after its first `await`, and where nothing is traced. */
export const currentTrace = (): TraceContext | undefined => handled;

/** Runs what belongs to a span, up to its first `await`. What it starts there belongs to the span too. */
export function inTrace<T>(context: TraceContext | undefined, run: () => T): T {
  const outer = handled;
  handled = context;
  try {
    return run();
  } finally {
    handled = outer;
  }
}

/**
 * Passes a trace on: from whoever started this run, or sent the message, to what is started for it. It draws no random number, awaits nothing, and gives no
 * command, so a run goes on whether tracing was switched on or off meanwhile. Temporal's own interceptors draw random numbers: recorded histories no
 * longer replayed.
 */
export const interceptors: WorkflowInterceptorsFactory = () => {
  const { runId, workflowType } = workflowInfo();
  const isOn = globalThis.holdfastTraces === true;
  const servesMany = SERVES_MANY.has(workflowType);
  let own: TraceContext | undefined;
  let messages = 0;

  /** Tells the span that begins now, once `result` is there. */
  const tell = (
    span: Pick<FinishedSpan, 'name' | 'context' | 'parentSpanId'>,
    result: Promise<unknown>,
  ): void => {
    if (!isOn) return;
    const startMs = Date.now();
    const end = (errorCode?: string) =>
      proxySinks<TraceSinks>()[TRACE_SINK].span({
        ...span,
        startMs,
        endMs: Date.now(),
        attributes: { temporalWorkflowId: workflowInfo().workflowId, run_id: runId },
        ...defined({ errorCode }),
      });
    result.then(
      () => end(),
      (error) => end(error instanceof ContinueAsNew ? undefined : describeFailure(error).code),
    );
  };

  const handle = <T>(name: string, headers: Headers, run: () => Promise<T>): Promise<T> => {
    const sender = fromHeaders(headers);
    if (!servesMany || (sender === undefined && !isOn)) return run();
    messages += 1;
    const { traceId, spanId } = traceOfRun(runId, messages);
    const context = { traceId: sender?.traceId ?? traceId, spanId };
    const result = inTrace(context, run);
    tell({ name, context, ...defined({ parentSpanId: sender?.spanId }) }, result);
    return result;
  };

  const withHeader = <T extends { readonly headers: Headers }>(input: T): T => {
    const context = handled ?? own;
    if (context === undefined) return input;
    const header = defaultPayloadConverter.toPayload(traceHeader(context));
    return { ...input, headers: { ...input.headers, [TRACE_HEADER]: header } };
  };

  return {
    inbound: [
      {
        execute(input, next) {
          const starter = fromHeaders(input.headers);
          if (servesMany || (starter === undefined && !isOn)) return next(input);
          const { traceId, spanId } = traceOfRun(runId);
          own = { traceId: starter?.traceId ?? traceId, spanId };
          const result = next(input);
          tell(
            {
              name: `RunWorkflow:${workflowType}`,
              context: own,
              ...defined({ parentSpanId: starter?.spanId }),
            },
            result,
          );
          return result;
        },
        handleSignal: (input, next) =>
          PERSONS_MESSAGES.some((name) => name === input.signalName)
            ? handle(`HandleSignal:${input.signalName}`, input.headers, () => next(input))
            : next(input),
        handleUpdate: (input, next) => handle(`HandleUpdate:${input.name}`, input.headers, () => next(input)),
      },
    ],
    outbound: [
      {
        scheduleActivity: (input, next) => next(withHeader(input)),
        startChildWorkflowExecution: (input, next) => next(withHeader(input)),
        continueAsNew: (input, next) => next(withHeader(input)),
      },
    ],
  };
};

function fromHeaders(headers: Headers): TraceContext | undefined {
  return readTraceHeader(headers[TRACE_HEADER]?.data);
}
