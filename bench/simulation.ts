import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime } from '@temporalio/worker';
import { compile } from '../compiler/compile.ts';
import type { Pipeline } from '../model/pipeline.ts';
import { startTemporal } from '../parts/temporal.ts';
import { registerSearchAttributes } from '../worker/search-attributes.ts';
import { peakMemoryBytes } from './universe-node.ts';

/** The task queue of simulated runs. */
export const QUEUE = 'scale';

/** Real Temporal and a real workflow worker, for runs whose activities are scripted. */
export interface Simulation {
  readonly client: Client;
  /** The connection for activity workers in this process. */
  readonly native: NativeConnection;
  /** Peak memory of the process that hosts the workflows, since it started. */
  workflowWorkerPeakBytes(): number;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts Temporal and the workflow worker. */
export async function startSimulation(): Promise<Simulation> {
  const parts = new AsyncDisposableStack();
  try {
    Runtime.install({
      logger: new DefaultLogger('ERROR'),
      telemetryOptions: { logging: { forward: {}, filter: { core: 'ERROR', other: 'ERROR' } } },
    });
    // Every agent polls, and by default a frontend accepts 1,200 polls at once per namespace.
    const temporal = await startTemporal({
      headless: true,
      extraArgs: ['--dynamic-config-value', 'frontend.namespaceCount=100000'],
    });
    parts.defer(() => temporal.stop());
    const connection = await Connection.connect({ address: temporal.address });
    parts.defer(() => connection.close());
    await registerSearchAttributes(connection, 'default');
    const native = await NativeConnection.connect({ address: temporal.address });
    parts.defer(() => native.close());
    const worker = fork(fileURLToPath(new URL('workflow-worker.ts', import.meta.url)), [
      temporal.address,
      QUEUE,
    ]);
    parts.defer(() => ended(worker));
    await once(worker, 'message');
    return {
      client: new Client({ connection }),
      native,
      workflowWorkerPeakBytes: () => peakMemoryBytes(worker.pid ?? 0),
      [Symbol.asyncDispose]: () => parts.disposeAsync(),
    };
  } catch (error) {
    await parts.disposeAsync();
    throw error;
  }
}

/** What one run and its children left in Temporal. */
export interface Histories {
  /** Events in all histories together. */
  readonly events: number;
  readonly workflows: number;
  readonly longestHistory: number;
  readonly largestHistoryBytes: number;
  readonly largestPayloadOfParent: number;
}

/** Measures the histories of a run and of its children. */
export async function measureHistories(
  client: Client,
  parent: string,
  children: readonly string[],
): Promise<Histories> {
  const ids = [parent, ...children];
  const described = await Promise.all(ids.map((id) => client.workflow.getHandle(id).describe()));
  return {
    events: described.reduce((sum, { historyLength }) => sum + historyLength, 0),
    workflows: ids.length,
    longestHistory: Math.max(...described.map(({ historyLength }) => historyLength)),
    largestHistoryBytes: Math.max(...described.map(({ historySize }) => historySize ?? 0)),
    largestPayloadOfParent: largestBytes(await client.workflow.getHandle(parent).fetchHistory()),
  };
}

/** Compiles a plan for this source. Nothing is ever written to its repository. */
export function simulatedPipeline(name: string, source: string, upload = 'upload'): Pipeline {
  const text = `
apiVersion: holdfast/v1
kind: Repository
metadata: { name: main }
spec: { directory: /nowhere }
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: ${name} }
spec:
  source: ${source}
  repository: main
  steps: [flush, snapshot, export, ${upload}]
`;
  const { plans, diagnostics } = compile([{ path: 'scale.yaml', text }]);
  const [compiled] = plans;
  if (compiled === undefined) throw new Error(diagnostics.map(({ message }) => message).join('; '));
  return compiled.pipeline;
}

/** The length of the longest byte array anywhere in a history: its largest payload. */
function largestBytes(value: unknown): number {
  if (value instanceof Uint8Array) return value.byteLength;
  if (typeof value !== 'object' || value === null) return 0;
  let largest = 0;
  for (const each of Object.values(value)) largest = Math.max(largest, largestBytes(each));
  return largest;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}
