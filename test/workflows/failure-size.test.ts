import type { TemporalFailure } from '@temporalio/client';
import fc from 'fast-check';
import { asActivity } from '../../activities/run-activity.ts';
import { asFailure } from '../../activities/temporal-failure.ts';
import { doubtful, permanent, transient } from '../../model/errors.ts';
import type { PruneInput } from '../../model/prune.ts';
import { SAMPLE } from '../repository/sample-backup.ts';
import { eventually } from '../support/processes.ts';
import { type Bench, startBench } from './scripted-worker.ts';

const INPUT: PruneInput = {
  plan: SAMPLE.plan,
  repository: { name: 'main', location: { kind: 'directory', path: '/nowhere' } },
  retention: {},
};

let bench: Bench;
let runs = 0;

beforeAll(async () => {
  bench = await startBench();
});

afterAll(() => bench?.stop());

/** Runs a workflow whose first activity is `body`. */
async function runActivity(
  body: () => Promise<never>,
  meanwhile: (workflowId: string) => Promise<unknown>,
): Promise<unknown> {
  const workflowId = `failing-${++runs}`;
  return bench.withActivities(
    { markBackups: () => asActivity(body), endPrune: async () => undefined },
    async () => {
      const handle = await bench.client.workflow.start('prune', {
        workflowId,
        taskQueue: bench.taskQueue,
        args: [INPUT],
      });
      const ended = handle.result().catch((error: unknown) => error);
      await meanwhile(workflowId);
      return Promise.race([ended, Promise.resolve('goes on')]);
    },
  );
}

async function pendingFailure(workflowId: string) {
  const { raw } = await bench.client.workflow.getHandle(workflowId).describe();
  return raw.pendingActivities?.[0]?.lastFailure;
}

const LONG = `Failed to load t: ${'a very long list of tables, '.repeat(2_000)}and the end of it`;

test('a failure that is tried again and far too long still tells message, end and remedy to whoever looks', async () => {
  await runActivity(
    async () => {
      const cause = new Error(`the server's words: ${LONG}`);
      throw transient('YSQL_UNAVAILABLE', LONG, 'Look at the server.', cause);
    },
    async (workflowId) => {
      await eventually('a failed attempt', async () => (await pendingFailure(workflowId)) != null);
      const failure = await pendingFailure(workflowId);
      expect(failure?.message).toMatch(/^Failed to load t: .* … .*the end of it\. Look at the server\.$/s);
      expect(Buffer.byteLength(failure?.message ?? '')).toBeLessThan(2_000);
      expect(failure?.applicationFailureInfo?.type).toBe('YSQL_UNAVAILABLE');
      expect(failure?.cause ?? undefined).toBeUndefined();
      await bench.client.workflow.getHandle(workflowId).terminate();
    },
  );
});

test('three equal failures that come from a statement end the run; others between begin the count anew', async () => {
  let tries = 0;
  let ended: unknown;
  await runActivity(
    async () => {
      tries += 1;
      const table = tries === 2 ? 'other' : 'same';
      throw doubtful('YSQL_STATEMENT_FAILED', `Failed to refresh ${table}`, 'Repair the foreign server.');
    },
    async (workflowId) => {
      ended = await bench.client.workflow
        .getHandle(workflowId)
        .result()
        .catch((error: TemporalFailure) => error.cause);
    },
  );
  // same, other, same, same, same
  expect(tries).toBe(5);
  expect(ended).toMatchObject({
    type: 'YSQL_STATEMENT_FAILED',
    message: 'Failed to refresh same (3 times in a row). Repair the foreign server.',
  });
});

test('whatever an error says, its failure is small and keeps its remedy', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 6_000 }),
      fc.constantFrom('"', '\\', '\n', 'é', '😀', '\u0001'),
      fc.nat(9_000),
      (said, filler, times) => {
        const error = permanent('CODE', said + filler.repeat(times), 'Do this.', new Error(said));
        const { failure } = asFailure(error, 1, undefined);
        const size = Buffer.byteLength(failure.message) + Buffer.byteLength(JSON.stringify(failure.details));
        expect(size).toBeLessThan(3_500);
        expect(Buffer.byteLength(failure.message)).toBeLessThan(2_048);
        expect(failure.message.endsWith('. Do this.')).toBe(true);
        expect(failure.cause).toBeUndefined();
        expect(failure.stack).toBe('');
      },
    ),
  );
});
