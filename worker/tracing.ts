import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import { workerIdentity } from '../engines/worker-identity.ts';
import { messageOf } from '../model/errors.ts';
import { CANCELLED, type FinishedSpan } from '../model/trace.ts';

/** Sends spans by OTLP, as the standard variables (`OTEL_…`) say. Nothing waits for it: what can't be sent in time is dropped. */
export interface Tracing {
  record(span: FinishedSpan): void;
  /** Sends what is left, for at most two seconds. */
  close(): Promise<void>;
}

type Environment = Readonly<Record<string, string | undefined>>;

const LAST_SPANS_MS = 2_000;

/** How much of an exporter's error is told. */
const REASON_AT_MOST = 200;

/** Whether the environment asks for traces: it names a receiver of them, or the exporter `otlp`, and doesn't switch OpenTelemetry off. */
export function asksForTraces(environment: Environment): boolean {
  const { OTEL_SDK_DISABLED: off, OTEL_TRACES_EXPORTER: exporter } = environment;
  if (off?.toLowerCase() === 'true' || exporter === 'none') return false;
  if (exporter) return true;
  return Boolean(environment.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || environment.OTEL_EXPORTER_OTLP_ENDPOINT);
}

/**
 * Starts sending spans, where this process's environment asks for it. OpenTelemetry's packages are loaded only then. They read the variables themselves.
 * Undefined where no traces are asked for, and, after a warning, where they are asked for in a way that Holdfast doesn't have: what runs counts more
 * than its traces.
 *
 * @param warn is told once, in a sentence, if spans can't be sent
 */
export async function startTracing(
  warn: (sentence: string) => void,
  environment: Environment = process.env,
): Promise<Tracing | undefined> {
  if (!asksForTraces(environment)) return undefined;
  const lacking = whatIsLacking(environment);
  if (lacking === undefined) {
    try {
      return await sender(warn);
    } catch (error) {
      warn(`No traces are sent: ${messageOf(error)}. Correct the variables OTEL_EXPORTER_OTLP_….`);
    }
  } else warn(`No traces are sent: ${lacking}.`);
  return undefined;
}

function whatIsLacking(environment: Environment): string | undefined {
  const exporter = environment.OTEL_TRACES_EXPORTER || 'otlp';
  const protocol =
    environment.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL ||
    environment.OTEL_EXPORTER_OTLP_PROTOCOL ||
    'http/protobuf';
  if (exporter !== 'otlp') return `OTEL_TRACES_EXPORTER can be otlp or none, not ${exporter}`;
  if (protocol !== 'http/protobuf')
    return `OTEL_EXPORTER_OTLP_PROTOCOL can be http/protobuf (port 4318 of a collector), not ${protocol}`;
  return undefined;
}

async function sender(warn: (sentence: string) => void): Promise<Tracing> {
  const [{ ROOT_CONTEXT, SpanStatusCode, TraceFlags, trace }, sdk, resources, { OTLPTraceExporter }] =
    await Promise.all([
      import('@opentelemetry/api'),
      import('@opentelemetry/sdk-trace'),
      import('@opentelemetry/resources'),
      import('@opentelemetry/exporter-trace-otlp-proto'),
    ]);
  const { host, version } = workerIdentity();
  const own = { 'service.name': 'holdfast', 'service.version': version, 'host.name': host };
  const named = resources.detectResources({
    detectors: [resources.resourceAttributesEnvDetector, resources.serviceNameEnvDetector],
  });
  const exporter = new WarningExporter(new OTLPTraceExporter(), warn);
  /** The SDK asks for the ids of a span while it starts it. */
  let ids = { traceId: '', spanId: '' };
  const provider = new sdk.TracerProvider({
    resource: resources
      .defaultResource()
      .merge(resources.resourceFromAttributes({ ...own, 'process.pid': process.pid }))
      .merge(named),
    sampler: new sdk.AlwaysOnSampler(),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter })],
    idGenerator: { generateTraceId: () => ids.traceId, generateSpanId: () => ids.spanId },
  });
  const tracer = provider.getTracer('holdfast', version);
  return {
    record({ name, context, parentSpanId, startMs, endMs, attributes, errorCode }) {
      ids = context;
      const parent = {
        ...context,
        spanId: parentSpanId ?? '',
        traceFlags: TraceFlags.SAMPLED,
        isRemote: true,
      };
      const span = tracer.startSpan(
        name,
        { startTime: startMs, attributes },
        parentSpanId === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent),
      );
      if (errorCode !== undefined) {
        span.setAttribute('error.type', errorCode);
        // Whoever holds a snapshot is cancelled at the end of each good backup.
        if (errorCode !== CANCELLED) span.setStatus({ code: SpanStatusCode.ERROR });
      }
      span.end(Math.max(startMs, endMs));
    },
    async close() {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<'late'>((resolve) => {
        timer = setTimeout(resolve, exporter.failed ? 0 : LAST_SPANS_MS, 'late');
      });
      const ended = await Promise.race([provider.shutdown(), late]);
      clearTimeout(timer);
      if (ended === 'late') exporter.fails(`the last spans were not taken within ${LAST_SPANS_MS / 1_000} s`);
    },
  };
}

/** Warns once if spans can't be sent. */
class WarningExporter implements SpanExporter {
  failed = false;
  readonly #exporter: SpanExporter;
  readonly #warn: (sentence: string) => void;

  constructor(exporter: SpanExporter, warn: (sentence: string) => void) {
    this.#exporter = exporter;
    this.#warn = warn;
  }

  export(spans: ReadableSpan[], done: Parameters<SpanExporter['export']>[1]): void {
    this.#exporter.export(spans, ({ code, error }) => {
      if (error !== undefined) this.fails(error.message.slice(0, REASON_AT_MOST));
      // The SDK would print a stack for each batch.
      done(error === undefined ? { code } : { code: 0 });
    });
  }

  fails(reason: string): void {
    if (!this.failed)
      this.#warn(
        `Traces can't be sent to OTEL_EXPORTER_OTLP_ENDPOINT (${reason}). The work goes on without them; this is said once.`,
      );
    this.failed = true;
  }

  shutdown(): Promise<void> {
    return this.#exporter.shutdown();
  }
}
