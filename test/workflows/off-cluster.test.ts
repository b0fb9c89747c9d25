import { ApplicationFailure } from '@temporalio/common';
import type { PendingExport } from '../../model/off-cluster.ts';
import type { offCluster } from '../../workflows/off-cluster.ts';
import { type Bench, CAPTURE, pipelineOf, startBench, UNIVERSE_SOURCE } from './scripted-worker.ts';

/** The run that exports what a plan's snapshot schedule has made. */

let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

function pending(minute: number): PendingExport {
  const takenAt = `2026-11-24T10:${minute}:00.000000Z`;
  const history = { schedule: 's', from: '2026-11-24T09:00:00.000000Z' };
  return {
    backup: `20261124T10${minute}00Z-history-${minute}`,
    scheduled: { database: 'orders', api: 'ysql', snapshot: `snapshot-${minute}`, takenAt, history },
  };
}

test('a snapshot that can’t be exported does not keep the next one, and the run says how many there were', async () => {
  const tried: (string | undefined)[] = [];
  const activities = {
    pendingExports: async () => ({ exports: [pending(15), pending(30)], givenUp: [] }),
    snapshot: async ({ scheduled }: { scheduled?: PendingExport['scheduled'] }) => {
      tried.push(scheduled?.snapshot);
      throw ApplicationFailure.nonRetryable('it is gone', 'HISTORY_GONE');
    },
    cleanUp: async () => ({ removedObjects: 0 }),
    releaseSnapshots: async () => ({ deleted: 0 }),
  };
  const pipeline = { ...pipelineOf(CAPTURE), source: UNIVERSE_SOURCE };
  await bench.withActivities(activities, async () => {
    const run = bench.client.workflow.execute<typeof offCluster>('offCluster', {
      ...{ workflowId: 'off-cluster:orders:1', taskQueue: bench.taskQueue },
      args: [{ plan: pipeline.plan, pipeline }],
    });
    await expect(run).rejects.toMatchObject({
      cause: { type: 'HISTORY_NOT_EXPORTED', message: expect.stringMatching(/^2 of 2 .* it is gone/) },
    });
  });
  expect(tried).toEqual(['snapshot-15', 'snapshot-30']);
});

test('where nothing waits there is nothing to do', async () => {
  const pipeline = { ...pipelineOf(CAPTURE), source: UNIVERSE_SOURCE };
  const activities = { pendingExports: async () => ({ exports: [], givenUp: ['old'] }) };
  await bench.withActivities(activities, async () => {
    await expect(
      bench.client.workflow.execute<typeof offCluster>('offCluster', {
        ...{ workflowId: 'off-cluster:orders:2', taskQueue: bench.taskQueue },
        args: [{ plan: pipeline.plan, pipeline }],
      }),
    ).resolves.toEqual({ plan: pipeline.plan, exported: [], givenUp: ['old'] });
  });
});
