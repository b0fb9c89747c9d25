import { Context, heartbeat } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { Activities } from '../../activities/contract.ts';
import {
  PLAIN_RESTORE,
  type RestoreRequest,
  type RestoreSummary,
  type VerifyReport,
} from '../../model/backup.ts';
import { progress } from '../../workflows/messages.ts';
import { eventually } from '../support/processes.ts';
import { type Bench, pipelineOf, RESTORE_PLAN, restoring, startBench } from './scripted-worker.ts';

let bench: Bench;
let runs = 0;

beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

const { source, repository } = pipelineOf([]);
const ref = { repository, plan: 'orders', backup: 'b1' };

function request(changes: Partial<RestoreRequest> = {}): RestoreRequest {
  return {
    restore: `r${++runs}`,
    from: ref,
    source,
    ...PLAIN_RESTORE,
    scratch: false,
    parallelism: 2,
    ...changes,
  };
}

const restore = (wish: RestoreRequest): Promise<RestoreSummary> =>
  bench.client.workflow.execute('restore', {
    workflowId: `restore:orders:${wish.restore}`,
    taskQueue: bench.taskQueue,
    args: [wish],
  });

test('a table is finished while others are being loaded, and helped by slots that have nothing left to do', async () => {
  const order: string[] = [];
  const helps = new Map<string, number | undefined>();
  const firstUnit = Promise.withResolvers<void>();
  const activities = restoring({
    planRestore: async () => ({
      ...RESTORE_PLAN,
      postDataWaves: [2, 1, 1],
      tableUnits: [
        { wave: 0, unit: 0, afterTasks: 1, afterUnits: [] },
        { wave: 0, unit: 1, afterTasks: 3, afterUnits: [] },
        { wave: 1, unit: 0, afterTasks: 1, afterUnits: [0] },
      ],
    }),
    load: async ({ task }) => {
      // The last task is held until the first table's post-data has begun.
      if (task === 2) await firstUnit.promise;
      order.push(`load ${task}`);
      return { rows: 1, bytes: 1 };
    },
    postData: async ({ wave, unit, helpers }) => {
      order.push(`post-data ${wave}.${unit}`);
      if (wave === 0 && unit === 0) firstUnit.resolve();
      helps.set(`${wave}.${unit}`, helpers);
    },
  });
  await bench.withActivities(activities, async () => {
    expect((await restore(request())).verdict).toBe('OK');
  });
  const at = (entry: string) => order.indexOf(entry);
  expect([...order].sort()).toEqual([
    ...['load 0', 'load 1', 'load 2'],
    ...['post-data 0.0', 'post-data 0.1', 'post-data 1.0', 'post-data 2.0'],
  ]);
  expect(at('load 0')).toBeLessThan(at('post-data 0.0'));
  expect(at('post-data 0.0')).toBeLessThan(at('load 2'));
  expect(at('post-data 0.0')).toBeLessThan(at('post-data 1.0'));
  expect(at('load 2')).toBeLessThan(at('post-data 0.1'));
  expect(at('post-data 2.0')).toBe(order.length - 1);
  expect(helps.get('0.0')).toBe(0);
  expect(helps.get('2.0')).toBeUndefined();
});

test('what takes the longer the more data there are is not ended after a day', async () => {
  await bench.withActivities(restoring(), async () => {
    const wish = request();
    await restore(wish);
    const { events } = await bench.client.workflow.getHandle(`restore:orders:${wish.restore}`).fetchHistory();
    const days = (events ?? []).flatMap(({ activityTaskScheduledEventAttributes: scheduled }) =>
      scheduled?.activityType?.name
        ? [[scheduled.activityType.name, Number(scheduled.scheduleToCloseTimeout?.seconds) / 86_400]]
        : [],
    );
    expect(Object.fromEntries(days)).toMatchObject({ planRestore: 1, postData: 7, finishRestore: 7 });
  });
});

test('a single table is given every slot when it is alone', async () => {
  const helps: (number | undefined)[] = [];
  const activities = restoring({
    planRestore: async () => ({
      ...RESTORE_PLAN,
      postDataWaves: [1],
      tableUnits: [{ wave: 0, unit: 0, afterTasks: 3, afterUnits: [] }],
    }),
    postData: async ({ helpers }) => void helps.push(helpers),
  });
  await bench.withActivities(activities, async () => {
    expect((await restore(request({ parallelism: 4 }))).verdict).toBe('OK');
  });
  expect(helps).toEqual([3]);
});

/** A small transfer runs in the restore itself, a large one in a child. */
test.each([3, 60])(
  'of %i tasks: stages run in order, and the waves of post-data one after another',
  async (tasks) => {
    const order: string[] = [];
    const activities = restoring({
      planRestore: async () => ({ ...RESTORE_PLAN, tasks }),
      prepareRestore: async () => void order.push('prepare'),
      load: async ({ task }) => {
        order.push(`load ${task}`);
        return { rows: 1, bytes: 1 };
      },
      postData: async ({ wave }) => void order.push(`wave ${wave}`),
    });
    await bench.withActivities(activities, async () => {
      expect((await restore(request())).verdict).toBe('OK');
    });
    const loads = order.filter((entry) => entry.startsWith('load'));
    expect([...loads].sort()).toEqual(Array.from({ length: tasks }, (_, task) => `load ${task}`).sort());
    expect(order.filter((entry) => !entry.startsWith('load'))).toEqual([
      'prepare',
      'wave 0',
      'wave 0',
      'wave 1',
    ]);
  },
);

test('archived changes are replayed after keys and indexes, database by database, and before anything is compared', async () => {
  const order: string[] = [];
  const activities = restoring({
    postData: async ({ wave }) => void order.push(`wave ${wave}`),
    replay: async ({ database, request: { replay } }) => {
      order.push(`replay ${database} to ${replay?.to}`);
      return {
        ...{ database, timeline: 't', to: replay?.to ?? '', segments: 1, transactions: 2, changes: 3 },
        ...{ lastTaken: 'transaction 7', notArchived: [], sequences: [] },
      };
    },
    finishRestore: async ({ request: wish }) => {
      order.push('finish');
      return summaryOf(wish);
    },
  });
  const to = '2026-11-29T14:03:07.250000Z';
  await bench.withActivities(activities, async () => {
    await restore({ ...request(), replay: { to, timelines: { orders: 't', stock: 't' } } });
    await restore(request());
  });
  const waves = ['wave 0', 'wave 0', 'wave 1'];
  expect(order).toEqual([
    ...waves,
    `replay orders to ${to}`,
    `replay stock to ${to}`,
    'finish',
    ...waves,
    'finish',
  ]);
});

test('a restore that fails drops what it created and tells the reason', async () => {
  const discarded: string[] = [];
  const activities = restoring({
    load: async () => {
      throw ApplicationFailure.create({
        message: 'object x is damaged.',
        type: 'STORE_DAMAGED',
        nonRetryable: true,
      });
    },
    discardRestore: async ({ request: { restore: id } }) => void discarded.push(id),
  });
  await bench.withActivities(activities, async () => {
    const wish = request();
    await expect(restore(wish)).rejects.toMatchObject({
      cause: { type: 'STORE_DAMAGED', message: 'object x is damaged.' },
    });
    expect(discarded).toEqual([wish.restore]);
  });
});

test('a restore that is refused before anything was made lets go of its backup, and does not speak of dropping', async () => {
  const discarded: string[] = [];
  const activities = restoring({
    planRestore: async () => {
      throw ApplicationFailure.create({
        message: 'the target holds tables.',
        type: 'RESTORE_TARGET_NOT_EMPTY',
        nonRetryable: true,
      });
    },
    discardRestore: async ({ request: { restore: id } }) => void discarded.push(id),
  });
  await bench.withActivities(activities, async () => {
    const wish = request();
    await expect(restore(wish)).rejects.toMatchObject({ cause: { type: 'RESTORE_TARGET_NOT_EMPTY' } });
    // It takes the pin away.
    expect(discarded).toEqual([wish.restore]);
    const { headline } = await bench.client.workflow
      .getHandle(`restore:orders:${wish.restore}`)
      .query(progress);
    expect(headline).toContain('the target holds tables. Nothing had been made.');
    expect(headline).not.toMatch(/drop/);
  });
});

test('a restore whose data differs from the manifest fails, and keeps no database that looks restored', async () => {
  const discarded: string[] = [];
  const activities = restoring({
    finishRestore: async ({ request: wish }) => ({
      ...summaryOf(wish),
      verdict: 'FAILED',
      problems: ['orders: 9 rows instead of 10'],
    }),
    discardRestore: async ({ request: { restore: id } }) => void discarded.push(id),
  });
  await bench.withActivities(activities, async () => {
    await expect(restore(request())).rejects.toMatchObject({ cause: { type: 'RESTORE_DIFFERS' } });
    expect(discarded).toHaveLength(1);
  });
});

describe('a rehearsal', () => {
  const verifyByRestore = async (activities: Partial<Activities>): Promise<VerifyReport> =>
    bench.withActivities(activities, () =>
      bench.client.workflow.execute('verify', {
        workflowId: `verify:${++runs}`,
        taskQueue: bench.taskQueue,
        args: [{ ref, level: 'restore', source }],
      }),
    );

  test('that is cancelled ends as cancelled, and not as failed', async () => {
    let isPlanning = false;
    const waiting = restoring({
      planRestore: async () => {
        isPlanning = true;
        for (;;) {
          heartbeat();
          await Context.current().sleep(20);
        }
      },
    });
    await bench.withActivities(waiting, async () => {
      const handle = await bench.client.workflow.start('verify', {
        workflowId: `verify:${++runs}`,
        taskQueue: bench.taskQueue,
        args: [{ ref, level: 'restore', source }],
      });
      await eventually('the rehearsal plans', async () => isPlanning);
      await handle.cancel();
      await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
      expect(await handle.query(progress)).toMatchObject({ state: 'cancelled' });
    });
  });

  test.each([
    ['then drops it after the verdict', 1, undefined],
    ['and says so where that fails too', 2, [expect.stringContaining('could not be dropped')]],
  ])('that could not drop its copy %s', async (_what, failures, notes) => {
    const happened: string[] = [];
    let left = failures;
    const { verdict, notes: found } = await verifyByRestore(
      restoring({
        load: async () => {
          throw ApplicationFailure.nonRetryable('the server went away', 'TARGET_GONE');
        },
        recordVerification: async () => void happened.push('verdict'),
        discardRestore: async () => {
          if (left > 0) {
            left -= 1;
            throw ApplicationFailure.nonRetryable('the server is down', 'SERVER_DOWN');
          }
          happened.push('dropped');
        },
      }),
    );
    expect(verdict).toBe('INCONCLUSIVE');
    expect(happened).toEqual(notes === undefined ? ['verdict', 'dropped'] : ['verdict']);
    expect(found).toEqual(notes);
  });

  test('restores, compares every row, drops the copy and records OK', async () => {
    const recorded: VerifyReport[] = [];
    const discarded: RestoreRequest[] = [];
    const report = await verifyByRestore(
      restoring({
        recordVerification: async (input) => void recorded.push(input.report),
        discardRestore: async (input) => void discarded.push(input.request),
      }),
    );
    expect(report.verdict).toBe('OK');
    expect(recorded).toEqual([report]);
    expect(discarded).toMatchObject([{ scratch: true, check: 'content' }]);
  });

  test.each([
    ['damaged data', 'STORE_DAMAGED', 'FAILED'],
    ['no room for the copy', 'TARGET_FULL', 'INCONCLUSIVE'],
  ])('that stops on %s is %s → %s', async (_what, type, verdict) => {
    const report = await verifyByRestore(
      restoring({
        load: async () => {
          throw ApplicationFailure.create({ message: 'stopped', type, nonRetryable: true });
        },
        recordVerification: async () => undefined,
      }),
    );
    expect(report.verdict).toBe(verdict);
  });
});

function summaryOf(wish: RestoreRequest): RestoreSummary {
  return {
    plan: wish.from.plan,
    backup: wish.from.backup,
    restore: wish.restore,
    databases: [{ from: 'orders', to: 'orders_restored' }],
    rows: 3,
    bytes: 3,
    tables: 1,
    verdict: 'OK',
    problems: [],
  };
}

test('a tolerant restore that left something out ends FAILED, is kept under its working name, and its bookkeeping goes', async () => {
  const order: string[] = [];
  const leftOut = [
    {
      kind: 'INDEX',
      name: 'public.places',
      error: 'no such type',
      sql: 'CREATE INDEX …',
      because: 'error' as const,
    },
  ];
  const activities = restoring({
    finishRestore: async ({ request: { from, restore: id } }) => ({
      ...{ plan: from.plan, backup: from.backup, restore: id, rows: 3, bytes: 3, tables: 1, problems: [] },
      ...{ databases: [{ from: 'orders', to: 'orders_restoring_x' }], verdict: 'FAILED', leftOut },
    }),
    releaseRestore: async () => void order.push('release'),
    discardRestore: async () => {
      order.push('discard');
      return { stands: [] };
    },
  });
  await bench.withActivities(activities, async () => {
    const summary = await restore(request({ tolerate: true }));
    expect(summary).toMatchObject({ verdict: 'FAILED', leftOut });
    expect(order).toEqual(['release']);
    await expect(restore(request())).rejects.toThrow();
    expect(order).toEqual(['release', 'discard']);
  });
});
