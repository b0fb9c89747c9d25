import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { Activities } from '../../activities/contract.ts';
import { createActivities } from '../../activities/index.ts';
import { PLAIN_RESTORE, type RestoreRequest } from '../../model/backup.ts';
import type { EventWish, MailRequest, Notification, NotifyTarget } from '../../model/notification.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { PruneInput } from '../../model/prune.ts';
import { offClusterInput } from '../../planning/off-cluster.ts';
import { eventually } from '../support/processes.ts';
import {
  type Bench,
  CAPTURE,
  capture,
  pipelineOf,
  restoring,
  startBench,
  UNIVERSE_SOURCE,
} from './scripted-worker.ts';

/** Which events the runs tell, and how. A real HTTP server receives them by the real activity. */

interface Received {
  readonly path: string;
  readonly type: string | undefined;
  readonly id: string | undefined;
  readonly text: string;
}

let bench: Bench;
let server: Server;
let received: Received[];
let statusOf: (path: string) => number;

beforeAll(async () => {
  bench = await startBench();
  server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const path = request.url ?? '';
    const { 'content-type': type, 'webhook-id': id } = request.headers;
    received.push({ path, type, id: String(id), text });
    response.writeHead(statusOf(path)).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  process.env.TEST_EVENTS_URL = `${url}/events`;
  process.env.TEST_FIRST_URL = `${url}/first`;
  process.env.TEST_PROBLEMS_URL = `${url}/problems`;
  process.env.TEST_PING_URL = `${url}/ping/7f6d?rid=1`;
});
afterAll(async () => {
  await bench.stop();
  await new Promise((resolve) => server.close(resolve));
});
beforeEach(() => {
  received = [];
  statusOf = () => 200;
});

const receiver = (env: string, ...on: EventWish[]): NotifyTarget => ({ kind: 'webhook', url: { env }, on });
const webhook = (...on: EventWish[]) => receiver('TEST_EVENTS_URL', ...on);
const PING: NotifyTarget = { kind: 'ping', url: { env: 'TEST_PING_URL' }, on: [] };
const { repository, source, labels } = { ...pipelineOf(CAPTURE), labels: { team: 'payments' } };
const REF = { repository, plan: 'orders', backup: 'b1' };
const broken = async (): Promise<never> => {
  throw ApplicationFailure.nonRetryable('There is no bucket. Create it.', 'STORE_NO_BUCKET');
};
/** An activity that ends when it is cancelled. */
async function untilCancelled(): Promise<never> {
  const context = Context.current();
  for (;;) {
    context.heartbeat();
    await context.sleep(20);
  }
}

const RESTORE: RestoreRequest = {
  restore: 'r1',
  from: REF,
  source,
  ...PLAIN_RESTORE,
  parallelism: 2,
  scratch: false,
};
const PRUNING: Partial<Activities> = {
  markBackups: async () => ({ backups: 3, kept: 2, marked: ['b0'], unmarked: [], waiting: 1, due: 0 }),
  sweepOrphans: async () => ({ orphans: [], deletedObjects: 0, deletedBytes: 0, discardedUploads: 0 }),
  endPrune: async () => undefined,
};
const verifying = (verdict: 'OK' | 'FAILED'): Partial<Activities> => ({
  verify: async ({ ref, level }) => ({
    plan: ref.plan,
    backup: ref.backup,
    level,
    verdict,
    checkedObjects: 1,
    checkedBytes: 1,
    problems: verdict === 'OK' ? [] : ['object x is damaged'],
    startedAt: new Date().toISOString(),
    finishedAt: new Date().toISOString(),
  }),
});

let runs = 0;

interface Run {
  readonly type: string;
  readonly input: object;
  readonly activities: Partial<Activities>;
  readonly notify: readonly NotifyTarget[];
  /** Cancels the run once this activity is under way. */
  readonly cancelledDuring?: keyof Activities;
}

/** Runs a workflow to its end, and waits until its notifications were delivered. */
async function run({ type, input, activities, notify, cancelledDuring }: Run): Promise<void> {
  const id = `${type}:orders:${++runs}`;
  const { http } = createActivities(bench.client).activities;
  let isUnderWay = false;
  const stalling =
    cancelledDuring === undefined
      ? {}
      : {
          [cancelledDuring]: () => {
            isUnderWay = true;
            return untilCancelled();
          },
        };
  await bench.withActivities({ http, ...activities, ...stalling }, async () => {
    const handle = await bench.client.workflow.start(type, {
      workflowId: id,
      taskQueue: bench.taskQueue,
      args: [{ ...input, notify }],
    });
    if (cancelledDuring !== undefined) {
      await eventually('the run is under way', async () => isUnderWay);
      await handle.cancel();
    }
    await handle.result().catch(() => undefined);
    await eventually('whatever is told was told', async () => (await notificationsUnderWay(id)) === 0);
  });
}

async function notificationsUnderWay(id: string): Promise<number> {
  let count = 0;
  const { events = [] } = await bench.client.workflow.getHandle(id).fetchHistory();
  for (const { startChildWorkflowExecutionInitiatedEventAttributes: child } of events ?? []) {
    const childId = child?.workflowId ?? '';
    if (!childId.includes(':notify:')) continue;
    const { status } = await bench.client.workflow.getHandle(childId).describe();
    if (status.name === 'RUNNING') count += 1;
  }
  return count;
}

const BACKUP = { pipeline: { ...pipelineOf(CAPTURE), labels }, backup: 'b1' };
const ends: readonly (readonly [event: EventWish, run: Omit<Run, 'notify'>])[] = [
  ['backup.completed', { type: 'backup', input: BACKUP, activities: capture(2) }],
  ['backup.failed', { type: 'backup', input: BACKUP, activities: { ...capture(2), upload: broken } }],
  ['backup.cancelled', { type: 'backup', input: BACKUP, activities: capture(2), cancelledDuring: 'export' }],
  ['restore.completed', { type: 'restore', input: { ...RESTORE, labels }, activities: restoring() }],
  [
    'restore.failed',
    { type: 'restore', input: { ...RESTORE, labels }, activities: restoring({ load: broken }) },
  ],
  [
    'restore.cancelled',
    { type: 'restore', input: { ...RESTORE, labels }, activities: restoring(), cancelledDuring: 'load' },
  ],
  [
    'verify.completed',
    { type: 'verify', input: { ref: REF, level: 'exists', source, labels }, activities: verifying('OK') },
  ],
  [
    'verify.failed',
    { type: 'verify', input: { ref: REF, level: 'exists', source, labels }, activities: verifying('FAILED') },
  ],
  [
    'verify.inconclusive',
    { type: 'verify', input: { ref: REF, level: 'exists', source, labels }, activities: { verify: broken } },
  ],
  ['prune.completed', { type: 'prune', input: { plan: 'orders', repository, labels }, activities: PRUNING }],
  [
    'prune.failed',
    {
      type: 'prune',
      input: { plan: 'orders', repository, labels },
      activities: { ...PRUNING, markBackups: broken },
    },
  ],
  [
    'off-cluster.stalled',
    {
      type: 'offCluster',
      input: { plan: 'orders', pipeline: { ...BACKUP.pipeline, source: UNIVERSE_SOURCE } },
      activities: { pendingExports: broken },
    },
  ],
];

/** What a plan of the first version was told of. */
const FIRST: Readonly<Partial<Record<EventWish, string>>> = {
  'backup.completed': 'success',
  'backup.failed': 'failure',
};

test.each(ends)(
  '%s is told to whoever asks for it, and to no plan of the first version that was not told',
  async (event, end) => {
    const isGood = event.endsWith('completed');
    await run({
      ...end,
      notify: [
        webhook(event),
        receiver('TEST_FIRST_URL', 'success', 'failure', 'refused', 'drill'),
        receiver('TEST_PROBLEMS_URL', 'problems'),
      ],
    });
    const told = (path: string) =>
      received.filter((one) => one.path === path).map(({ text }) => JSON.parse(text) as Notification);
    expect(told('/events')).toMatchObject([
      {
        type: event,
        plan: 'orders',
        ok: isGood,
        labels: { team: 'payments' },
        headline: expect.stringMatching(/./),
        at: expect.stringMatching(/Z$/),
        workflowId: expect.stringContaining(':orders:'),
        ...(isGood ? {} : { error: { code: expect.stringMatching(/^[A-Z_]+$/) } }),
      },
    ]);
    expect(told('/first').map((one) => one.event)).toEqual([FIRST[event] ?? []].flat());
    expect(told('/problems').map(({ type }) => type)).toEqual(isGood ? [] : [event]);
  },
);

test('a CloudEvent has its attributes, and the same id at each try; `all` is every event', async () => {
  const answers = [503, 503, 200];
  statusOf = (path) => (path === '/events' ? (answers.shift() ?? 200) : 200);
  await run({
    type: 'backup',
    input: BACKUP,
    activities: capture(2),
    notify: [
      { kind: 'webhook', url: { env: 'TEST_EVENTS_URL' }, on: ['success'], format: 'cloudevents' },
      receiver('TEST_FIRST_URL', 'all'),
    ],
  });
  const everything = received
    .filter(({ path }) => path === '/first')
    .map(({ text }) => JSON.parse(text).type);
  expect(everything).toEqual(['backup.started', 'backup.completed']);
  received = received.filter(({ path }) => path === '/events');
  expect(received).toHaveLength(3);
  const events = received.map(({ text }) => JSON.parse(text));
  expect(events[2]).toEqual({
    specversion: '1.0',
    id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    source: '/holdfast/plans/orders',
    type: 'io.holdfast.backup.completed',
    subject: 'b1',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    datacontenttype: 'application/json',
    data: expect.objectContaining({ event: 'success', plan: 'orders', facts: expect.anything() }),
  });
  expect(received[0]?.type).toBe('application/cloudevents+json; charset=utf-8');
  expect(new Set([...received.map(({ id }) => id), ...events.map(({ id }) => id)]).size).toBe(1);
});

describe('a dead-man’s switch', () => {
  const paths = () => received.map(({ path }) => path);

  test('is called at the start and the end of a backup', async () => {
    await run({ type: 'backup', input: BACKUP, activities: capture(2), notify: [PING] });
    expect(paths()).toEqual(['/ping/7f6d/start?rid=1', '/ping/7f6d?rid=1']);
    expect(received[1]).toMatchObject({
      type: 'text/plain; charset=utf-8',
      text: expect.stringContaining('b1'),
    });
  });

  test('hears of a backup that failed or was cancelled', async () => {
    await run({
      type: 'backup',
      input: BACKUP,
      activities: { ...capture(2), upload: broken },
      notify: [PING],
    });
    expect(paths()).toEqual(['/ping/7f6d/start?rid=1', '/ping/7f6d/fail?rid=1']);
    received = [];
    await run({
      type: 'backup',
      input: BACKUP,
      activities: capture(2),
      notify: [PING],
      cancelledDuring: 'export',
    });
    expect(paths()).toEqual(['/ping/7f6d/start?rid=1', '/ping/7f6d/fail?rid=1']);
  });

  test('that is gone fails no backup, and other runs don’t call it', async () => {
    statusOf = () => 404;
    await run({ type: 'backup', input: BACKUP, activities: capture(2), notify: [PING, webhook('success')] });
    expect(paths()).toContain('/events');
    received = [];
    await run({ type: 'prune', input: { plan: 'orders', repository }, activities: PRUNING, notify: [PING] });
    expect(received).toEqual([]);
  });
});

test('a mail says to a person what happened and where to look', async () => {
  const mails: MailRequest[] = [];
  const mail: Activities['mail'] = async (request) => {
    mails.push(request);
    return { accepted: 1, refused: [] };
  };
  const target: NotifyTarget = {
    kind: 'email',
    to: ['oncall@example.com'],
    from: 'holdfast@example.com',
    smtp: { env: 'SMTP_URL' },
    on: ['failure'],
  };
  await run({
    type: 'backup',
    input: BACKUP,
    activities: { ...capture(2), upload: broken, mail },
    notify: [target],
  });
  expect(mails).toMatchObject([
    {
      to: ['oncall@example.com'],
      subject: '[Holdfast] PROBLEM: orders: backup failed',
      messageId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    },
  ]);
  const [{ text } = { text: '' }] = mails;
  expect(text).toMatch(
    /^Backup b1 FAILED: There is no bucket\. Create it\.\n\nPlan: orders\nEvent: backup\.failed\n/,
  );
  expect(text).toContain('Error: STORE_NO_BUCKET');
  expect(text).toContain('team: payments');
  expect(text).toContain('holdfast status orders');
});

test('two prunes of one plan are told both, though they have one workflow id', async () => {
  const input: Omit<PruneInput, 'notify'> = { plan: 'orders', repository };
  const { http } = createActivities(bench.client).activities;
  statusOf = () => 503;
  await bench.withActivities({ http, ...PRUNING }, async () => {
    for (let count = 0; count < 2; count += 1) {
      await bench.client.workflow.execute('prune', {
        workflowId: 'prune:orders',
        taskQueue: bench.taskQueue,
        args: [{ ...input, notify: [webhook('prune.completed')] }],
      });
    }
    statusOf = () => 200;
    await eventually('both are told', async () => new Set(received.map(({ id }) => id)).size === 2);
  });
});

test('exports tell their failures and, where they are asked for by name, their successes', () => {
  const plan: CompiledPlan = {
    name: 'orders',
    file: 'orders.yaml',
    pipeline: { ...pipelineOf(CAPTURE), source: UNIVERSE_SOURCE },
    notify: [
      webhook('success', 'failure'),
      webhook('off-cluster.completed', 'backup.failed'),
      webhook('drill'),
      PING,
    ],
  };
  expect(offClusterInput(plan).notify).toEqual([webhook('failure'), webhook('off-cluster.completed')]);
});
