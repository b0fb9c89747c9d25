import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DefaultLogger, type ReplayWorkerOptions, Runtime, Worker } from '@temporalio/worker';
import { workflowBundle } from '../../worker/bundle.ts';
import { tracedBundle, traceSinks } from '../../worker/traced-work.ts';
import type { Tracing } from '../../worker/tracing.ts';
import { endPromiseHooksAfterwards } from '../support/promise-hooks.ts';

endPromiseHooksAfterwards();

/** Runs that were begun with an earlier version go on with this one: recorded histories replay without a difference. */
const histories = new URL('./histories/', import.meta.url);
const files = readdirSync(histories, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.json'))
  .sort();

beforeAll(() => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
});

test('histories of this version, or an earlier one, are there', () => {
  expect(files.length).toBeGreaterThan(5);
});

test.each(files)('%s replays, also on a worker that sends traces', async (file) => {
  const bundle = await workflowBundle();
  await replay(read(file), { workflowBundle: bundle });
  await replay(read(file), { workflowBundle: await tracedBundle(bundle), sinks: traceSinks(NO_TRACES) });
});

test('a history with another activity in it is refused, so that the test can fail', async () => {
  const [file = ''] = files.filter((name) => /backup-of-two-shards\.json$/.test(name));
  const text = readFileSync(fileURLToPath(new URL(file, histories)), 'utf8').replaceAll(
    '"export"',
    '"flush"',
  );
  await expect(
    Worker.runReplayHistory({ workflowBundle: await workflowBundle() }, JSON.parse(text)),
  ).rejects.toThrow(/[Nn]ondeterminism/);
});

/** A replay sends nothing. */
const NO_TRACES: Tracing = {
  record: ({ name }) => {
    throw new Error(`the replay sent the span ${name}`);
  },
  close: async () => undefined,
};

function read(file: string): string {
  return readFileSync(fileURLToPath(new URL(file, histories)), 'utf8');
}

interface RecordedHistory {
  readonly events: readonly {
    readonly workflowExecutionStartedEventAttributes?: { readonly workflowId: string };
  }[];
}

/** Under the recorded id, from which the workflows derive those of their children. */
async function replay(text: string, options: ReplayWorkerOptions): Promise<void> {
  const history = JSON.parse(text) as RecordedHistory;
  const [started] = history.events;
  const workflowId = started?.workflowExecutionStartedEventAttributes?.workflowId;
  await Worker.runReplayHistory(options, history, workflowId);
}
