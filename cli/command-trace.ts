import type { WorkflowClientInterceptor } from '@temporalio/client';
import type { TraceContext } from '../model/trace.ts';
import type { Tracing } from '../worker/tracing.ts';
import { say } from './output.ts';

/** The trace of this command: a span from its start to its end, above what it starts through Temporal. */
interface CommandTrace {
  readonly tracing: Tracing;
  readonly context: TraceContext;
  /** True once it has started or sent something. A command that only looks isn't told. */
  isUsed: boolean;
}

let trace: CommandTrace | undefined;

/** What a command's client passes its trace on by. Undefined where the environment asks for no traces; then nothing is loaded. */
export async function commandTrace(): Promise<WorkflowClientInterceptor | undefined> {
  const { startTracing } = await import('../worker/tracing.ts');
  if (trace === undefined) {
    const tracing = await startTracing(say);
    if (tracing === undefined) return undefined;
    const { newSpanId, newTraceId } = await import('../worker/traced-work.ts');
    trace = { tracing, context: { traceId: newTraceId(), spanId: newSpanId() }, isUsed: false };
  }
  const begun = trace;
  const { tracedClient } = await import('../worker/traced-work.ts');
  return tracedClient(begun.context, () => {
    begun.isUsed = true;
  });
}

/** Tells the command's span, with its name and exit code alone: arguments may hold anything. */
export async function endCommandTrace(name: string): Promise<void> {
  if (trace === undefined) return;
  const { tracing, context, isUsed } = trace;
  trace = undefined;
  if (isUsed) {
    const exitCode = Number(process.exitCode ?? 0);
    tracing.record({
      name: `holdfast ${name}`,
      context,
      startMs: performance.timeOrigin,
      endMs: Date.now(),
      attributes: { 'process.exit.code': exitCode },
      ...(exitCode === 0 ? {} : { errorCode: `exit ${exitCode}` }),
    });
  }
  await tracing.close();
}
