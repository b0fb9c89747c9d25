import { setTimeout as sleep } from 'node:timers/promises';
import { ApplicationFailure } from '@temporalio/common';
import type { RunEvent } from '../../library/logs/run-events.ts';
import { backupWorkflowId } from '../../workflows/messages.ts';
import { planKey } from '../../workflows/run-attributes.ts';
import { holdfast, startHoldfast } from '../support/holdfast.ts';
import { type Bench, CAPTURE, capture, pipelineOf, startBench } from '../workflows/scripted-worker.ts';

/** A run that somebody else started, on a real Temporal server; its activities do what the test says. */
let bench: Bench;

beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

test('a run under way is followed by its plan or its id, Ctrl-C detaches, and its log tells what it waited out', async () => {
  const environment = { TEMPORAL_ADDRESS: bench.address };
  const workflowId = backupWorkflowId('orders', '20261130T070000Z-aaaaaa');
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let attempts = 0;
  const works = capture(1);
  const activities = {
    ...works,
    export: async (input: Parameters<typeof works.export>[0]) => {
      attempts += 1;
      if (attempts === 1) throw ApplicationFailure.retryable('the catalog is locked', 'YSQL_LOCKED');
      await released;
      return works.export(input);
    },
  };
  await bench.withActivities(activities, async () => {
    await bench.client.workflow.start('backup', {
      workflowId,
      taskQueue: bench.taskQueue,
      args: [{ pipeline: pipelineOf(CAPTURE), backup: '20261130T070000Z-aaaaaa' }],
      typedSearchAttributes: [{ key: planKey, value: 'orders' }],
    });
    const first = startHoldfast(['watch', workflowId, '--json'], environment);
    while (!first.progress().includes(workflowId) || attempts < 2) await sleep(100);
    first.child.kill('SIGINT');
    const detached = await first.end;
    expect({ code: detached.code, document: JSON.parse(detached.stdout) }).toEqual({
      code: 3,
      document: { workflowId, type: 'backup', plan: 'orders', detached: true },
    });

    const second = startHoldfast(['watch', 'orders', '--json'], environment);
    while (!second.progress().includes(workflowId)) await sleep(100);
    release();
    const ended = await second.end;
    expect({ code: ended.code, document: JSON.parse(ended.stdout) }).toMatchObject({
      code: 0,
      document: { workflowId, detached: false },
    });
  });

  const logs = await holdfast(['logs', 'orders', '--json'], environment);
  const told = JSON.parse(logs.stdout) as { workflowId: string; isRunning: boolean; events: RunEvent[] };
  expect(told).toMatchObject({ workflowId, isRunning: false });
  expect(told.events.filter(({ kind }) => kind === 'retry')).toEqual([
    expect.objectContaining({
      activity: 'export',
      attempt: 2,
      code: 'YSQL_LOCKED',
      text: expect.stringMatching(/^export .*failed once and was tried again: the catalog is locked$/),
    }),
  ]);
  expect(told.events.at(-1)).toMatchObject({
    workflowId,
    kind: 'ended',
    text: expect.stringMatching(/^done in /),
  });

  while (await isListedAsRunning()) await sleep(200);
  const none = await holdfast(['watch', 'orders', '--json'], environment);
  expect({ code: none.code, document: JSON.parse(none.stdout) }).toMatchObject({
    code: 1,
    document: { error: { code: 'NO_SUCH_RUN', remedy: expect.stringContaining('holdfast logs orders') } },
  });
});

/** Temporal's list lags behind by a moment. */
async function isListedAsRunning(): Promise<boolean> {
  const { count } = await bench.client.workflow.count(`BackupPlan="orders" AND ExecutionStatus="Running"`);
  return count > 0;
}
