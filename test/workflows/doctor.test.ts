import path from 'node:path';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { bundleWorkflowCode, NativeConnection, Worker } from '@temporalio/worker';
import type { Activities } from '../../activities/contract.ts';
import { askWorkers } from '../../cli/doctor-run.ts';
import type { Interrupts } from '../../cli/interrupts.ts';
import type { CheckAnswer, CheckInput, DoctorInput } from '../../model/doctor.ts';
import { type Bench, pipelineOf, startBench } from './scripted-worker.ts';

/** The run that `holdfast doctor` starts, on a real Temporal server; what the workers find is the test's own. */
let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

const { repository, source } = pipelineOf([]);
const INPUT: DoctorInput = { repository, source, history: false, beside: [] };
const NEVER: Interrupts = { next: () => new Promise(() => undefined), stop: () => undefined };

const answering = (identity: string, asked: CheckInput[] = []): Partial<Activities> => ({
  check: async (input): Promise<CheckAnswer> => {
    asked.push(input);
    const worker = { identity, host: 'here', version: '1' };
    return { worker, checks: [{ name: input.duty, ok: true, detail: 'fine' }], agents: [] };
  },
});

const ask = (input: Partial<DoctorInput> = {}, interrupts: Interrupts = NEVER) =>
  askWorkers(bench, interrupts, 'orders', { ...INPUT, ...input });

test('each queue is asked, and who answered on the plan’s own is told to the other', async () => {
  const asked: CheckInput[] = [];
  const { answers } = await bench.withActivities(answering('1@here', asked), () =>
    ask({ beside: ['read-points'] }),
  );
  expect(answers.map(({ queue, worker }) => [queue, worker?.identity])).toEqual([
    [bench.taskQueue, '1@here'],
    [`${bench.taskQueue}.read-points`, '1@here'],
  ]);
  expect(asked.map(({ duty, answered }) => [duty, answered])).toEqual([
    ['work', undefined],
    ['read-points', '1@here'],
  ]);
});

test('the plan’s own worker alone is asked to try its newest schema, and nobody is by a command that names no plan', async () => {
  const asked: CheckInput[] = [];
  await bench.withActivities(answering('1@here', asked), () =>
    ask({ plan: 'orders', beside: ['read-points'] }),
  );
  await bench.withActivities(answering('1@here', asked), () => ask());
  expect(asked.map(({ duty, schemaOf }) => [duty, schemaOf])).toEqual([
    ['work', 'orders'],
    ['read-points', undefined],
    ['work', undefined],
  ]);
});

test('a queue that nobody polls, and an agent that is gone, are missed without the others’ answers being lost', async () => {
  const agents = ['10.0.0.1:9100', '10.0.0.2:9100'];
  const activities: Partial<Activities> = {
    check: async () => ({
      worker: { identity: '1@here', host: 'here', version: '1' },
      checks: [{ name: 'source answers', ok: true, detail: 'yes' }],
      agents,
    }),
  };
  const { answers } = await bench.withActivities(activities, () => ask({ beside: ['prune'] }));
  const [own, ...others] = answers;
  expect(own?.checks).toEqual([{ name: 'source answers', ok: true, detail: 'yes' }]);
  expect(others.map(({ queue, worker, checks }) => [queue, worker, checks.map(({ ok }) => ok)])).toEqual([
    [`${bench.taskQueue}.prune`, undefined, [false]],
    ['node.10.0.0.1:9100', undefined, [false]],
    ['node.10.0.0.2:9100', undefined, [false]],
  ]);
  expect(others[0]?.checks[0]?.remedy).toContain('start another one');
});

test('a worker of an earlier version, which has no such question, is told to be started again', async () => {
  const { answers } = await bench.withActivities({}, () => ask());
  expect(answers[0]?.checks).toEqual([
    expect.objectContaining({ ok: false, detail: expect.stringContaining('older than this command') }),
  ]);
});

test('what a worker fails with is its answer', async () => {
  const activities: Partial<Activities> = {
    check: () => Promise.reject(new Error('the disk is full')),
  };
  const { answers } = await bench.withActivities(activities, () => ask());
  expect(answers[0]?.checks[0]).toMatchObject({ ok: false, detail: 'the disk is full' });
});

test('an interruption ends the run, also where the worker doesn’t heed it', async () => {
  let began: () => void = () => undefined;
  const hasBegun = new Promise<void>((resolve) => {
    began = resolve;
  });
  let release: () => void = () => undefined;
  const activities: Partial<Activities> = {
    check: async () => {
      began();
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      throw new Error('too late');
    },
  };
  await bench.withActivities(activities, async () => {
    const interrupts: Interrupts = {
      next: () => hasBegun.then(() => 'interrupted' as const),
      stop: () => undefined,
    };
    try {
      await expect(ask({}, interrupts)).rejects.toMatchObject({ code: 'DOCTOR_INTERRUPTED' });
    } finally {
      // The worker waits for its activities before it ends.
      release();
    }
  });
  const states: string[] = [];
  for await (const { workflowId } of bench.client.workflow.list({ query: 'WorkflowType="doctor"' })) {
    states.push((await bench.client.workflow.getHandle(workflowId).describe()).status.name);
  }
  expect(states).not.toContain('RUNNING');
});

test('a run that ends by itself just as it is given up is given up all the same', async () => {
  const ended = (): never => {
    throw new WorkflowNotFoundError('workflow execution already completed', 'doctor', undefined);
  };
  const handle = {
    result: () => new Promise(() => undefined),
    cancel: async () => ended(),
    terminate: async () => ended(),
  };
  const client = { workflow: { start: async () => handle } };
  const interrupts: Interrupts = { next: async () => 'interrupted', stop: () => undefined };
  await expect(
    askWorkers({ client: client as unknown as Client, taskQueue: 'q' }, interrupts, 'orders', INPUT),
  ).rejects.toMatchObject({ code: 'DOCTOR_INTERRUPTED' });
});

test('a worker that doesn’t know the run at all is found out within half a minute, and the run is withdrawn', async () => {
  const taskQueue = 'old';
  const connection = await NativeConnection.connect({ address: bench.address });
  try {
    const workflowBundle = await bundleWorkflowCode({
      workflowsPath: path.join(__dirname, 'old-workflows.ts'),
    });
    const worker = await Worker.create({ connection, taskQueue, workflowBundle });
    await worker.runUntil(
      expect(askWorkers({ client: bench.client, taskQueue }, NEVER, 'orders', INPUT)).rejects.toMatchObject({
        code: 'DOCTOR_NO_WORKER',
        message: expect.stringContaining('older than this command'),
      }),
    );
  } finally {
    await connection.close();
  }
});
