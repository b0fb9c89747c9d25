import { setTimeout as sleep } from 'node:timers/promises';
import { Context, heartbeat } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { Activities } from '../../activities/contract.ts';
import { READ_POINT_LOST } from '../../model/errors.ts';
import type { Pipeline } from '../../model/pipeline.ts';
import { type BackupOutcome, progress } from '../../workflows/messages.ts';
import { eventually } from '../support/processes.ts';
import {
  type Bench,
  CAPTURE,
  capture,
  pipelineOf,
  READ_POINT_OPENED,
  readPointAt,
  startBench,
} from './scripted-worker.ts';

let bench: Bench;
let runs = 0;

beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

function start(pipeline: Pipeline): Promise<WorkflowHandle> {
  const backup = `b${++runs}`;
  return bench.client.workflow.start('backup', {
    workflowId: `backup:orders:${backup}`,
    taskQueue: bench.taskQueue,
    args: [{ pipeline, backup }],
  });
}

const result = async (handle: WorkflowHandle): Promise<BackupOutcome> =>
  (await handle.result()) as BackupOutcome;
const states = async (handle: WorkflowHandle): Promise<Record<string, string>> =>
  Object.fromEntries((await handle.query(progress)).steps.map((step) => [step.id, step.state]));

/** A PostgreSQL-like holder: signals its read point and stays until it is cancelled or told to lose it. */
function holder(lose: { when: (epoch: number) => boolean }): Activities['snapshot'] {
  return async ({ firstEpoch }) => {
    const { attempt, workflowExecution: run } = Context.current().info;
    const readPoint = readPointAt(firstEpoch + attempt - 1);
    await bench.client.workflow.getHandle(run?.workflowId ?? '').signal(READ_POINT_OPENED, readPoint);
    while (!lose.when(readPoint.epoch)) {
      heartbeat();
      await Context.current().sleep(20);
    }
    throw ApplicationFailure.create({ message: 'the session died', type: READ_POINT_LOST });
  };
}

test('a pipeline runs its steps in order and ends with what was sealed', async () => {
  await bench.withActivities(
    { ...capture(3), verify: async ({ ref, level }) => okReport(ref.backup, level) },
    async () => {
      const handle = await start(
        pipelineOf([...CAPTURE, { id: 'verify', verb: 'verify', options: { level: 'content' } }]),
      );
      const outcome = await result(handle);
      expect(outcome.summary).toMatchObject({ rows: 30, bytes: 300, storedBytes: 120 });
      expect(outcome.verifications.map(({ verdict }) => verdict)).toEqual(['OK']);
      expect(await states(handle)).toEqual({
        snapshot: 'done',
        export: 'done',
        upload: 'done',
        verify: 'done',
      });
    },
  );
});

test('a backup that lacks what could not be read is kept, and its run fails with what it lacks', async () => {
  let cleaned = false;
  const activities: Partial<Activities> = {
    ...capture(1),
    seal: async (input) => ({
      ...(await capture(1).seal(input)),
      unread: ['shop.orders: the partition with token 7 could not be read'],
    }),
    cleanUp: async () => {
      cleaned = true;
      return { removedObjects: 0 };
    },
  };
  await bench.withActivities(activities, async () => {
    const handle = await start(pipelineOf(CAPTURE));
    await expect(result(handle)).rejects.toMatchObject({
      cause: { type: 'BACKUP_INCOMPLETE', message: expect.stringContaining('shop.orders: the partition') },
    });
    expect(cleaned).toBe(false);
  });
});

test('510 tasks in two batches leave the parent a history of less than 300 events', async () => {
  await bench.withActivities(capture(510), async () => {
    const handle = await start(pipelineOf(CAPTURE));
    expect((await result(handle)).summary.rows).toBe(5_100);
    const { steps } = await handle.query(progress);
    expect(steps.find(({ id }) => id === 'upload')).toMatchObject({ tasksDone: 510, tasksTotal: 510 });
    const { historyLength } = await handle.describe();
    expect(historyLength).toBeLessThan(300);
  });
});

/** A small transfer runs in the backup itself, a large one in a child. */
const SMALL_AND_LARGE = [4, 60];

test.each(SMALL_AND_LARGE)(
  'of %i tasks: a lost read point starts a new epoch, in which everything is exported and uploaded again',
  async (tasks) => {
    let lostFirst = false;
    const uploads: number[] = [];
    const activities: Partial<Activities> = {
      ...capture(tasks),
      snapshot: holder({ when: (epoch) => epoch === 1 && lostFirst }),
      upload: async ({ readPoint, task }) => {
        uploads.push(readPoint.epoch);
        if (readPoint.epoch === 1 && task === 2) {
          lostFirst = true;
          throw ApplicationFailure.create({
            message: 'invalid snapshot identifier',
            type: READ_POINT_LOST,
            nonRetryable: true,
          });
        }
        return { index: task, rows: 10, bytes: 100, storedBytes: 40, objects: 1 };
      },
    };
    await bench.withActivities(activities, async () => {
      const outcome = await result(await start(pipelineOf(CAPTURE)));
      expect(outcome.epochs).toBe(2);
      expect(outcome.summary.manifestSha256).toBe('2');
      expect(uploads.filter((epoch) => epoch === 2)).toHaveLength(tasks);
    });
  },
);

test.each(SMALL_AND_LARGE)(
  'of %i tasks: a failed upload fails the run with its one sentence, runs the steps for failures, and cleans up',
  async (tasks) => {
    const cleaned: string[] = [];
    const reported: unknown[] = [];
    const activities: Partial<Activities> = {
      ...capture(tasks),
      upload: async () => {
        throw ApplicationFailure.create({
          message: 'no bucket named x. Create it.',
          type: 'STORE_NO_BUCKET',
          nonRetryable: true,
        });
      },
      cleanUp: async ({ ref }) => {
        cleaned.push(ref.backup);
        return { removedObjects: 4 };
      },
      http: async ({ body }) => {
        reported.push(body);
        return { status: 200 };
      },
    };
    await bench.withActivities(activities, async () => {
      const hook = {
        id: 'alarm',
        verb: 'http' as const,
        options: { url: { literal: 'http://127.0.0.1/' }, method: 'POST' as const },
        when: 'failure' as const,
      };
      const handle = await start(
        pipelineOf([...CAPTURE, { id: 'verify', verb: 'verify', options: { level: 'exists' } }, hook]),
      );
      await expect(handle.result()).rejects.toMatchObject({
        cause: { type: 'STORE_NO_BUCKET', message: 'no bucket named x. Create it.' },
      });
      expect(cleaned).toEqual([handle.workflowId.slice('backup:orders:'.length)]);
      expect(reported).toMatchObject([
        { status: 'failure', step: 'upload', error: { code: 'STORE_NO_BUCKET' } },
      ]);
      expect(await states(handle)).toMatchObject({ upload: 'failed', verify: 'skipped', alarm: 'done' });
    });
  },
);

test('steps for failures are skipped when nothing fails', async () => {
  await bench.withActivities(
    { ...capture(1), http: () => Promise.reject(new Error('must not be called')) },
    async () => {
      const handle = await start(
        pipelineOf([
          ...CAPTURE,
          {
            id: 'alarm',
            verb: 'http',
            options: { url: { literal: 'http://127.0.0.1/' }, method: 'POST' },
            when: 'failure',
          },
        ]),
      );
      await result(handle);
      expect(await states(handle)).toMatchObject({ alarm: 'skipped' });
    },
  );
});

test.each(SMALL_AND_LARGE)(
  'of %i tasks: cancelling lets the read point go, waits for the slots, and removes what was written',
  async (tasks) => {
    const order: string[] = [];
    let uploading = false;
    const activities: Partial<Activities> = {
      ...capture(tasks),
      snapshot: async (input) => {
        try {
          return await holder({ when: () => false })(input);
        } finally {
          order.push('read point closed');
        }
      },
      upload: async () => {
        uploading = true;
        const context = Context.current();
        try {
          for (;;) {
            heartbeat();
            await context.sleep(20);
          }
        } finally {
          await sleep(100);
          order.push('slot ended');
        }
      },
      cleanUp: async () => {
        order.push('cleaned up');
        return { removedObjects: 1 };
      },
    };
    await bench.withActivities(activities, async () => {
      const handle = await start(pipelineOf(CAPTURE));
      await eventually('an upload runs', async () => uploading);
      await handle.cancel();
      await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
      expect(order).toEqual(['slot ended', 'slot ended', 'read point closed', 'cleaned up']);
      expect((await handle.query(progress)).headline).toMatch(/cancelled; nothing of it is left/);
    });
  },
);

test('a run that waits for its first read point can be cancelled', async () => {
  let opening = false;
  const activities: Partial<Activities> = {
    ...capture(1),
    snapshot: async () => {
      opening = true;
      for (;;) {
        heartbeat();
        await Context.current().sleep(20);
      }
    },
  };
  await bench.withActivities(activities, async () => {
    const handle = await start(pipelineOf(CAPTURE));
    await eventually('the snapshot is being opened', async () => opening);
    await handle.cancel();
    await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
  });
});

function okReport(backup: string, level: 'exists' | 'checksums' | 'content') {
  const time = '2026-11-23T04:00:00.000Z';
  return {
    plan: 'orders',
    backup,
    level,
    verdict: 'OK' as const,
    checkedObjects: 1,
    checkedBytes: 1,
    problems: [],
    startedAt: time,
    finishedAt: time,
  };
}
