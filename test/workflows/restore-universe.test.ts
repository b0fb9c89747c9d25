import { activityInfo, Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { type Activities, UNIVERSE_QUIET } from '../../activities/contract.ts';
import type { RestoreRequest } from '../../model/backup.ts';
import { type Bench, pipelineOf, startBench, UNIVERSE_SOURCE } from './scripted-worker.ts';

/** The workflow of a universe's restore on a real Temporal server; what its activities find is the test's own. */
let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

const quiet = (run: string): Promise<void> => bench.client.workflow.getHandle(run).signal(UNIVERSE_QUIET);
const runOfActivity = (): string => activityInfo().workflowExecution?.workflowId ?? '';

/** A universe without a tablet to fill. */
function universe(changes: Partial<Activities>): Partial<Activities> {
  return {
    planUniverseRestore: async () => ({
      ...{ databases: [{ from: 'shop', to: 'shop_restored', api: 'ysql' }], nodes: [], bytesPerNode: 0 },
      ...{ tablets: 0, rows: 0, bytes: 0, storedBytes: 0 },
    }),
    prepareUniverse: async () => undefined,
    placeFills: async () => ({ shards: 0, pairs: 0, bytes: 0, fingerprint: 'same' }),
    restoreSnapshots: async () => undefined,
    endUniverseQuiet: async () => undefined,
    forgetRestore: async () => undefined,
    discardUniverse: async () => ({ left: [] }),
    finishUniverse: async ({ request }) => ({
      ...{ plan: 'orders', backup: request.from.backup, restore: request.restore, databases: [] },
      ...{ rows: 0, bytes: 0, tables: 0, verdict: 'OK', problems: [] },
    }),
    ...changes,
  };
}

const wishOf = (restore: string): RestoreRequest => ({
  ...{ restore, from: { repository: pipelineOf([]).repository, plan: 'orders', backup: 'b1' } },
  ...{ source: UNIVERSE_SOURCE, into: {}, replace: false, tables: { include: [], exclude: [] } },
  ...{ contents: 'all', globals: false, check: 'rows', scratch: false, parallelism: 2 },
});

test('the load balancer is kept off for as long as the restore lasts, a month at most', async () => {
  const keepUniverseQuiet = async () => {
    const beat = setInterval(() => Context.current().heartbeat(), 100);
    await quiet(runOfActivity());
    await Context.current().cancelled.finally(() => clearInterval(beat));
  };
  await bench.withActivities(universe({ keepUniverseQuiet }), async () => {
    const args: [RestoreRequest] = [wishOf('r1')];
    const options = { workflowId: 'restore:orders:r1', taskQueue: bench.taskQueue, args };
    await bench.client.workflow.execute('restore', options);
    const { events } = await bench.client.workflow.getHandle('restore:orders:r1').fetchHistory();
    const days = (events ?? []).flatMap(({ activityTaskScheduledEventAttributes: scheduled }) =>
      scheduled?.activityType?.name
        ? [[scheduled.activityType.name, Number(scheduled.scheduleToCloseTimeout?.seconds) / 86_400]]
        : [],
    );
    expect(Object.fromEntries(days)).toMatchObject({ keepUniverseQuiet: 30, restoreSnapshots: 7 });
  });
});

test('nothing is restored once the load balancer can no longer be kept off: replicas may move away from their files', async () => {
  const keepUniverseQuiet = async () => {
    await quiet(runOfActivity());
    throw ApplicationFailure.nonRetryable('the masters say no', 'UNIVERSE_DENIED');
  };
  let restored = 0;
  const restoreSnapshots = async () => {
    restored += 1;
  };
  const prepareUniverse = () => new Promise<undefined>((resolve) => setTimeout(resolve, 2_000, undefined));
  await bench.withActivities(universe({ keepUniverseQuiet, restoreSnapshots, prepareUniverse }), async () => {
    const args: [RestoreRequest] = [wishOf('r2')];
    const options = { workflowId: 'restore:orders:r2', taskQueue: bench.taskQueue, args };
    await expect(bench.client.workflow.execute('restore', options)).rejects.toMatchObject({
      cause: { type: 'UNIVERSE_DENIED' },
    });
    expect(restored).toBe(0);
  });
});
