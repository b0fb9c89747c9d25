/**
 * Where a span stands in an OpenTelemetry trace. It travels in the header of Temporal's messages that Temporal's own tracing uses, as W3C's `traceparent`, so
 * programs that trace by Temporal's packages begin traces that go on here. Pure.
 */
export interface TraceContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
}

/** A span that has ended. Attributes hold names, ids and counts, never a value of a row, an SQL text or a secret. */
export interface FinishedSpan {
  readonly name: string;
  readonly context: TraceContext;
  readonly parentSpanId?: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: SpanAttributes;
  /** Code of the error with which it ended, or `CANCELLED`, which is no error. Messages are left out. */
  readonly errorCode?: string;
}

export type SpanAttributes = Readonly<Record<string, string | number>>;

/** How a span ended that was cancelled on request. */
export const CANCELLED = 'CANCELLED';

/** The header, as all of Temporal's SDKs name it. */
export const TRACE_HEADER = '_tracer-data';

/** How the worker's process gets spans from a workflow: a sink of Temporal. */
export const TRACE_SINK = 'holdfastTraces';

/** A header is read only up to this size, since anybody may have written it. */
const HEADER_BYTES = 1_000;

/** What the header holds. */
export function traceHeader({ traceId, spanId }: TraceContext): { readonly traceparent: string } {
  return { traceparent: `00-${traceId}-${spanId}-01` };
}

/** The span that a header names. Undefined where there is none, where it is not sampled, and for anything else that somebody wrote there. */
export function readTraceHeader(data: Uint8Array | null | undefined): TraceContext | undefined {
  if (data == null || data.length > HEADER_BYTES) return undefined;
  // The last digit of the flags is odd where the span is sampled; other bits mean other things (https://www.w3.org/TR/trace-context-2/#trace-flags).
  const [, traceId, spanId] =
    /"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f][13579bdf]"/.exec(String.fromCharCode(...data)) ?? [];
  return traceId === undefined || spanId === undefined ? undefined : { traceId, spanId };
}

/**
 * The first span of a trace that a run begins itself: the trace's id is the run's, so a replay gives the same. Random numbers would not do: drawing one
 * changes all that the workflow draws afterwards, such as the ids of its runs.
 *
 * @param nth span of the run; 0 is the run's own
 */
export function traceOfRun(runId: string, nth = 0): TraceContext {
  const traceId = shifted(runId.replaceAll('-', ''), nth);
  return { traceId, spanId: traceId.slice(16) };
}

/** Adds to a number of 32 hexadecimal digits. */
function shifted(digits: string, by: number): string {
  return BigInt.asUintN(128, BigInt(`0x${digits}`) + BigInt(by))
    .toString(16)
    .padStart(32, '0');
}
