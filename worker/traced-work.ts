import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { WorkflowClientInterceptor } from '@temporalio/client';
import {
  ApplicationFailure,
  CancelledFailure,
  defaultPayloadConverter,
  type Headers,
} from '@temporalio/common';
import type { ActivityInterceptorsFactory, InjectedSinks, WorkflowBundleOption } from '@temporalio/worker';
import { partTeller } from '../activities/tell-part.ts';
import {
  CANCELLED,
  type FinishedSpan,
  readTraceHeader,
  type SpanAttributes,
  TRACE_HEADER,
  TRACE_SINK,
  type TraceContext,
  traceHeader,
} from '../model/trace.ts';
import type { TraceSinks } from '../workflows/traced.ts';
import type { Tracing } from './tracing.ts';

/** How many parts of an activity get spans of their own. An activity may move thousands of small tables. */
const PARTS_SHOWN = 100;

/** What a result counts, if it counts it. */
const COUNTS = ['rows', 'bytes', 'storedBytes', 'objects'];

export const newSpanId = (): string => randomBytes(8).toString('hex');
export const newTraceId = (): string => randomBytes(16).toString('hex');

/** The workflow bundle, with its spans switched on: one statement before the same code, so that there is one bundle to build, publish and keep. */
export async function tracedBundle({
  codePath,
}: {
  readonly codePath: string;
}): Promise<WorkflowBundleOption> {
  return { code: `globalThis.holdfastTraces=true;${await readFile(codePath, 'utf8')}` };
}

/** Takes the spans of workflows. */
export function traceSinks({ record }: Tracing): InjectedSinks<TraceSinks> {
  return {
    [TRACE_SINK]: { span: { fn: (_info, span: FinishedSpan) => record(span), callDuringReplay: false } },
  };
}

/** Makes a span of each attempt of an activity that belongs to a trace, with the spans of its parts beneath it. */
export function tracedActivities({ record }: Tracing): ActivityInterceptorsFactory {
  return ({ info }) => ({
    inbound: {
      async execute(input, next) {
        const parent = readTraceHeader(input.headers[TRACE_HEADER]?.data);
        if (parent === undefined) return next(input);
        const context = { traceId: parent.traceId, spanId: newSpanId() };
        const startMs = Date.now();
        let parts = 0;
        const end = (found: SpanAttributes, errorCode?: string) =>
          record({
            name: `RunActivity:${info.activityType}`,
            context,
            parentSpanId: parent.spanId,
            startMs,
            endMs: Date.now(),
            attributes: {
              temporalActivityId: info.activityId,
              temporalWorkflowId: info.workflowExecution?.workflowId ?? '',
              run_id: info.workflowExecution?.runId ?? '',
              'holdfast.attempt': info.attempt,
              'holdfast.task_queue': info.taskQueue,
              ...(parts > PARTS_SHOWN ? { 'holdfast.parts_not_shown': parts - PARTS_SHOWN } : {}),
              ...found,
            },
            ...(errorCode === undefined ? {} : { errorCode }),
          });
        const tellPart = (name: string, partStartMs: number, attributes: SpanAttributes) => {
          parts += 1;
          if (parts > PARTS_SHOWN) return;
          const part = { traceId: parent.traceId, spanId: newSpanId() };
          record({
            ...{ name, context: part, parentSpanId: context.spanId, attributes },
            ...{ startMs: partStartMs, endMs: Date.now() },
          });
        };
        try {
          const result = await partTeller.run(tellPart, () => next(input));
          end(countsOf(result));
          return result;
        } catch (error) {
          end({}, codeOf(error));
          throw error;
        }
      },
    },
  });
}

/** Has what a client starts and sends belong to a span. `onUse` is called whenever something does. */
export function tracedClient(context: TraceContext, onUse: () => void): WorkflowClientInterceptor {
  const withHeader = (headers: Headers): Headers => {
    onUse();
    return { ...headers, [TRACE_HEADER]: defaultPayloadConverter.toPayload(traceHeader(context)) };
  };
  return {
    startWithDetails: (input, next) => next({ ...input, headers: withHeader(input.headers) }),
    signal: (input, next) => next({ ...input, headers: withHeader(input.headers) }),
    signalWithStart: (input, next) => next({ ...input, headers: withHeader(input.headers) }),
    startUpdate: (input, next) => next({ ...input, headers: withHeader(input.headers) }),
    startUpdateWithStart: (input, next) => next({ ...input, updateHeaders: withHeader(input.updateHeaders) }),
  };
}

function countsOf(result: unknown): SpanAttributes {
  if (typeof result !== 'object' || result === null) return {};
  const counts = Object.entries(result).filter(
    (entry): entry is [string, number] => COUNTS.includes(entry[0]) && typeof entry[1] === 'number',
  );
  return Object.fromEntries(counts.map(([name, count]) => [`holdfast.${name}`, count]));
}

function codeOf(error: unknown): string {
  if (error instanceof ApplicationFailure) return error.type ?? 'FAILED';
  return error instanceof CancelledFailure ? CANCELLED : 'FAILED';
}
