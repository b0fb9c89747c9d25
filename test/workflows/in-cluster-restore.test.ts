import { ApplicationFailure } from '@temporalio/activity';
import { WorkflowFailedError } from '@temporalio/client';
import type { Activities } from '../../activities/contract.ts';
import type { InClusterRequest, InClusterSummary } from '../../model/in-cluster.ts';
import { type Bench, startBench } from './scripted-worker.ts';

/** A way back by the universe's own history, of several databases: how it tells of each. */
const INSTANT = '2026-11-24T09:00:00.000Z';

let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

const REQUEST: InClusterRequest = {
  ...{ plan: 'orders', restore: 'r1', way: 'rewind', instant: INSTANT, safetySnapshot: true },
  databases: ['orders', 'billing', 'stock'].map((name) => ({ from: name, to: name })),
  source: {
    ...{ engine: 'universe', masters: ['10.0.0.1:7100'], masterWebPort: 7000, keyspaces: [] },
    ...{ databases: ['orders', 'billing', 'stock'], globals: 'none', snapshotRetentionMs: 86_400_000 },
    ...{ countRows: false, limits: { tasksPerNode: 1, filesPerDisk: 1 } },
    patience: { agentMs: 1, snapshotMs: 1, restorationMs: 1 },
  },
};

function goBack(goBackInCluster: Activities['goBackInCluster'], id: string): Promise<InClusterSummary> {
  const activities: Partial<Activities> = {
    checkInCluster: async () => ({ broken: [] }),
    saveInCluster: async () => ({ orders: 's-orders', billing: 's-billing', stock: 's-stock' }),
    choresInCluster: async () => [],
    goBackInCluster,
  };
  return bench.withActivities(activities, () =>
    bench.client.workflow.execute('inClusterRestore', {
      workflowId: `restore:orders:${id}`,
      taskQueue: bench.taskQueue,
      args: [{ ...REQUEST, restore: id }],
    }),
  );
}

test('a rewind that fails between its databases says which is where, and in which snapshots they were before', async () => {
  const failed = goBack(async ({ database }) => {
    if (database < 1) return [];
    throw ApplicationFailure.nonRetryable('The rewind of ysql.billing ended FAILED', 'REWIND_FAILED');
  }, 'fails').catch((error: unknown) => error);
  const error = await failed;
  expect(error).toBeInstanceOf(WorkflowFailedError);
  expect(error).toMatchObject({
    cause: {
      type: 'REWIND_FAILED',
      message: [
        'The rewind of ysql.billing ended FAILED',
        `orders: at ${INSTANT}; billing: not known, its rewind had begun; stock: as before. The same request again takes each of them to that instant.`,
        "What was there before is in the universe's snapshots (orders: s-orders, billing: s-billing, stock: s-stock).",
      ].join(' '),
    },
  });
});

test('what each database has to tell is told once; a worker of an older version tells nothing', async () => {
  const told = ['A note of two.', undefined, 'A note of two.'];
  const summary = await goBack(async ({ database }) => {
    const note = told[database];
    return note === undefined ? undefined : [note];
  }, 'tells');
  expect(summary).toMatchObject({ way: 'rewind', instant: INSTANT, notes: ['A note of two.'] });
});
