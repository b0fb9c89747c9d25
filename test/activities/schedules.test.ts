import { Client, Connection } from '@temporalio/client';
import { differences, findSchedule, reconcileSchedules } from '../../activities/schedules.ts';
import { startTemporal, type TemporalServer } from '../../parts/temporal.ts';
import type { DesiredSchedule } from '../../planning/schedules.ts';
import { registerSearchAttributes } from '../../worker/search-attributes.ts';

const WANTED: DesiredSchedule = {
  id: 'backup:orders',
  cron: ['30 2 * * *', '0 14 * * 1'],
  timezone: 'Europe/Berlin',
  overlap: 'skip',
  catchUpMs: 3_600_000,
  start: {
    workflowType: 'backup',
    workflowId: 'backup:orders',
    args: [{ plan: 'orders' }],
    summary: 'backup of orders',
  },
};
const QUEUE = 'holdfast';

let temporal: TemporalServer;
let connection: Connection;
let client: Client;
beforeAll(async () => {
  temporal = await startTemporal({ headless: true });
  connection = await Connection.connect({ address: temporal.address });
  client = new Client({ connection });
  await registerSearchAttributes(connection, 'default');
});
afterAll(async () => {
  await connection.close();
  await temporal.stop();
});

const reconcile = () =>
  reconcileSchedules(client, {
    ...{ desired: [WANTED], ids: [WANTED.id], plan: 'orders', engine: 'ysql', taskQueue: QUEUE },
    ...{ keepPauses: true },
  });

test('a priority is written, read back and compared', async () => {
  const priority = (key?: number): DesiredSchedule => ({
    ...WANTED,
    id: 'backup:urgent',
    start: { ...WANTED.start, ...(key === undefined ? {} : { priority: key }) },
  });
  const write = (want: DesiredSchedule) =>
    reconcileSchedules(client, {
      ...{ desired: [want], ids: [want.id], plan: 'urgent', engine: 'ysql', taskQueue: QUEUE },
      keepPauses: true,
    });
  expect(await write(priority(1))).toMatchObject([{ done: 'created' }]);
  expect(await write(priority(1))).toEqual([]);
  const found = await findSchedule(client, 'backup:urgent');
  expect(found === undefined ? [] : differences(found, priority(), QUEUE)).toEqual([
    { field: 'priority', is: 1, should: null },
  ]);
  expect(await write(priority())).toMatchObject([{ done: 'updated' }]);
  expect(await write(priority())).toEqual([]);
});

test('times that somebody changed by hand in Temporal are seen, and put back', async () => {
  expect(await reconcile()).toEqual([{ schedule: WANTED.id, done: 'created' }]);
  expect(await reconcile()).toEqual([]);
  for (const calendars of [[{ hour: 3, minute: 30 }], [{ hour: 2, minute: 30 }]]) {
    await client.schedule
      .getHandle(WANTED.id)
      .update((previous) => ({ ...previous, spec: { calendars, timezone: WANTED.timezone } }));
    const found = await findSchedule(client, WANTED.id);
    expect(found?.action.memo).toEqual({ cron: WANTED.cron });
    expect(found === undefined ? [] : differences(found, WANTED, QUEUE)).toMatchObject([{ field: 'times' }]);
    expect(await reconcile()).toEqual([{ schedule: WANTED.id, done: 'updated' }]);
    expect(await reconcile()).toEqual([]);
  }
});
