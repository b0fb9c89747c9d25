import { Client, Connection } from '@temporalio/client';
import { discardBackup } from '../../../repository/retention/sweep.ts';
import { startHoldfast } from '../../support/holdfast.ts';
import { eventually } from '../../support/processes.ts';
import { query } from '../../support/sql.ts';
import { fill } from './contents.ts';
import { dropRestored, leftBehind, plainBackup } from './outcome.ts';
import { drilledPlan, PLAN, type Stage, startStage } from './stage.ts';

/** Two minutes that `npm test` has not: with HOLDFAST_UNIVERSE_FAULTS=all, as the rest of the faults. */
const whole = process.env.HOLDFAST_UNIVERSE_FAULTS === 'all' ? test : test.skip;

/** Workflows that are terminated in the Temporal UI get no chance to clean up after themselves. */
let stage: Stage;
let connection: Connection;
beforeAll(async () => {
  if (whole === test.skip) return;
  stage = await startStage();
  connection = await Connection.connect({ address: stage.temporal.address });
  await fill(stage.universe);
});
afterAll(async () => {
  if (whole === test.skip) return;
  await connection.close();
  await stage.stop();
});

/** Terminates the one run of a kind that is under way. */
async function terminate(type: 'backup' | 'restore' | 'drill'): Promise<void> {
  const client = new Client({ connection });
  const query = `WorkflowType="${type}" AND ExecutionStatus="Running"`;
  for await (const { workflowId } of client.workflow.list({ query })) {
    await client.workflow.getHandle(workflowId).terminate('by the test');
  }
}

whole('a restore that is terminated leaves the load balancer on', async () => {
  const { backup } = await plainBackup(stage);
  await stage.universe.act({ do: 'restorations', end: 'never' });
  const into = ['--into', 'shop=shop_again', '--into', 'metrics=metrics_again'];
  const running = startHoldfast(['restore', stage.planFile, '--backup', backup, ...into], stage.environment);
  await eventually('the load balancer is off, and the restoration begun', async () => {
    const { loadBalancerEnabled, restorations } = await stage.universe.view();
    return !loadBalancerEnabled && restorations.length > 0;
  });
  await terminate('restore');
  await running.end;
  await eventually('it is on again', async () => (await stage.universe.view()).loadBalancerEnabled);
  await stage.universe.disarm();
  await dropRestored(stage.universe, 'shop_again', 'metrics_again');
});

whole('what a terminated backup left in the universe is deleted by a later one', async () => {
  await stage.universe.act({ do: 'delay', operation: 'export_snapshot', ms: 30_000, times: 1 });
  const running = startHoldfast(['backup', stage.planFile], stage.environment);
  const taken = async () =>
    (await stage.universe.view()).snapshots.filter(
      ({ state, imported }) => state === 'COMPLETE' && !imported,
    );
  await eventually('both snapshots are taken', async () => (await taken()).length === 2);
  await terminate('backup');
  await running.end;
  await stage.universe.disarm();
  // As retention does with a folder whose writer is gone.
  for await (const backup of stage.store().folders('snapshots/universe/')) {
    await discardBackup(stage.store(), { plan: PLAN, backup }, 'its run was terminated');
  }
  await plainBackup(stage);
  await expect(taken()).resolves.toEqual([]);
  expect((await leftBehind(stage)).filter((line) => line.includes('snapshots/'))).toEqual([]);
});

whole('what a terminated drill left in the universe is dropped by the next one', async () => {
  const plan = await drilledPlan(stage);
  // Of the terminated restore above, which nobody has called for again.
  const before = await leftBehind(stage);
  const copies = async () =>
    (
      await query(
        stage.universe.ysql('yugabyte'),
        "SELECT datname FROM pg_database WHERE datname LIKE '%drill%'",
      )
    ).length;
  await stage.json('backup', plan);
  await stage.universe.act({ do: 'restorations', end: 'never' });
  const running = startHoldfast(['drill', plan], stage.environment);
  await eventually('the restoration of the copy has begun', async () => {
    const { restorations } = await stage.universe.view();
    return restorations.length > 0 && (await copies()) === 1;
  });
  // Its restore is terminated with it.
  await terminate('drill');
  await running.end;
  await stage.universe.disarm();
  expect(await copies()).toBe(1);
  await expect(stage.json('drill', plan)).resolves.toMatchObject({ verdict: 'OK' });
  expect(await copies()).toBe(0);
  expect(await leftBehind(stage)).toEqual(before);
});
