import { setTimeout as sleep } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { startBackup } from '../../library/runs.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import { eventually } from '../support/processes.ts';
import { type Bench, CAPTURE, capture, pipelineOf, startBench } from './scripted-worker.ts';

let bench: Bench;

beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

const planOf = (name: string, priority?: number): CompiledPlan => ({
  name,
  file: `${name}.yaml`,
  pipeline: { ...pipelineOf(CAPTURE.map((step) => ({ ...step, parallelism: 64 }))), plan: name },
  ...(priority === undefined ? {} : { priority }),
});

/** A small transfer runs in the backup itself, a large one in a child. */
test.each([4, 60])('%d tasks have the priority of their plan', async (tasks) => {
  const seen = new Set<number | undefined>();
  const usual = capture(tasks);
  const upload: typeof usual.upload = async (input) => {
    seen.add(Context.current().info.priority?.priorityKey);
    return usual.upload(input);
  };
  await bench.withActivities({ ...usual, upload }, async () => {
    const { workflowId } = await startBackup(bench, planOf(`seen-${tasks}`, 1));
    await bench.client.workflow.getHandle(workflowId).result();
    expect([...seen]).toEqual([1]);
  });
});

test('of two plans that wait for the same slot, the first by priority gets it, though it came later', async () => {
  const order: string[] = [];
  const usual = capture(40);
  const upload: typeof usual.upload = async (input) => {
    order.push(input.ref.plan);
    await sleep(200);
    return usual.upload(input);
  };
  await bench.withActivities(
    { ...usual, upload },
    async () => {
      const patient = await startBackup(bench, planOf('patient', 5));
      await eventually('it uploads', async () => order.length > 0);
      const urgent = await startBackup(bench, planOf('urgent', 1));
      for (const { workflowId } of [urgent, patient]) {
        await bench.client.workflow.getHandle(workflowId).result();
      }
      expect(order.lastIndexOf('urgent')).toBeLessThan(order.lastIndexOf('patient'));
      expect(order.indexOf('urgent')).toBeGreaterThan(0);
    },
    { slots: 1 },
  );
});
