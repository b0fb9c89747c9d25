import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ApplicationFailure } from '@temporalio/common';
import { createActivities } from '../../activities/index.ts';
import type { Notification, NotifyTarget } from '../../model/notification.ts';
import { deliveryTo } from '../../planning/notification.ts';
import { eventually } from '../support/processes.ts';
import { type Bench, CAPTURE, capture, pipelineOf, startBench } from './scripted-worker.ts';

/** A real HTTP server, told by the real activity. */
let bench: Bench;
let server: Server;
let url: string;
let told: { readonly path: string; readonly body: Record<string, unknown> }[];
let answer: (path: string) => number;

beforeAll(async () => {
  bench = await startBench();
  server = createServer(async (request, response) => {
    const path = request.url ?? '';
    const body = JSON.parse(await textOf(request)) as Record<string, unknown>;
    const status = answer(path);
    if (status < 300) told.push({ path, body });
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  process.env.TEST_WEBHOOK_URL = `${url}/hook?token=sesame`;
  process.env.TEST_SLACK_URL = `${url}/services/T0/B0/sesame`;
});
afterAll(async () => {
  await bench.stop();
  await new Promise((resolve) => server.close(resolve));
});
beforeEach(() => {
  told = [];
  answer = () => 200;
});

async function textOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}

const WEBHOOK: NotifyTarget = {
  kind: 'webhook',
  url: { env: 'TEST_WEBHOOK_URL' },
  on: ['success', 'failure'],
};
const SLACK = {
  kind: 'slack',
  url: { env: 'TEST_SLACK_URL' },
  on: ['failure'],
} as const satisfies NotifyTarget;

let backups = 0;

/** Runs a backup and waits until whoever is told has been told. */
async function backUp(notify: readonly NotifyTarget[], fails = false): Promise<{ id: string; told: number }> {
  const id = `b${++backups}`;
  const workflowId = `backup:orders:${id}`;
  const http = createActivities(bench.client).activities.http;
  const failing = {
    upload: async () => {
      throw ApplicationFailure.nonRetryable('There is no bucket <x>. Create it.', 'STORE_NO_BUCKET');
    },
  };
  return bench.withActivities({ ...capture(2), ...(fails ? failing : {}), http }, async () => {
    const pipeline = { ...pipelineOf(CAPTURE), labels: { team: 'payments' } };
    const handle = await bench.client.workflow.start('backup', {
      workflowId,
      taskQueue: bench.taskQueue,
      args: [{ pipeline, backup: id, notify }],
    });
    if (fails) await expect(handle.result()).rejects.toThrow();
    else await handle.result();
    const result = await bench.client.workflow.getHandle(`${workflowId}:notify:end`).result();
    return { id, told: (result as { told: number }).told };
  });
}

test('a backup that is done is told to whoever asked for successes, and to nobody else', async () => {
  const { id } = await backUp([WEBHOOK, SLACK]);
  expect(told).toEqual([
    {
      path: '/hook?token=sesame',
      body: expect.objectContaining({
        event: 'success',
        ok: true,
        plan: 'orders',
        backup: id,
        labels: { team: 'payments' },
        workflowId: `backup:orders:${id}`,
        headline: expect.stringContaining(id),
        facts: expect.objectContaining({ rows: '20' }),
      }),
    },
  ]);
});

test('a backup that failed is told with its error, to a webhook as data and to Slack as a message', async () => {
  const { id } = await backUp([WEBHOOK, SLACK], true);
  expect(told.map(({ path }) => path.split('?')[0]).sort()).toEqual(['/hook', '/services/T0/B0/sesame']);
  const [hook, slack] = told.toSorted((one, other) => (one.path < other.path ? -1 : 1));
  expect(hook?.body).toMatchObject({ event: 'failure', ok: false, error: { code: 'STORE_NO_BUCKET' } });
  expect(slack?.body.text).toContain(`Backup ${id} FAILED: There is no bucket &lt;x&gt;`);
});

test('a place that is away for a moment is told when it is back', async () => {
  let asked = 0;
  answer = () => (++asked < 3 ? 503 : 200);
  const { told: count } = await backUp([WEBHOOK]);
  expect({ count, asked, told: told.length }).toEqual({ count: 1, asked: 3, told: 1 });
});

test('a place that refuses changes nothing for the backup, nor for the others', async () => {
  answer = (path) => (path.startsWith('/services') ? 404 : 200);
  const { told: count } = await backUp([WEBHOOK, { ...SLACK, on: ['success'] }]);
  expect({ count, told: told.length }).toEqual({ count: 1, told: 1 });
});

test('a secret that is missing on the worker changes nothing for the backup', async () => {
  const { told: count } = await backUp([{ ...WEBHOOK, url: { env: 'NO_SUCH_VARIABLE' } }]);
  expect(count).toBe(0);
});

test('no address is in Temporal’s history', async () => {
  const { id } = await backUp([WEBHOOK]);
  for (const suffix of ['', ':notify:end']) {
    const history = await bench.client.workflow.getHandle(`backup:orders:${id}${suffix}`).fetchHistory();
    const text = JSON.stringify(history).replace(/"data":"([^"]+)"/g, (_, data: string) =>
      Buffer.from(data, 'base64').toString('utf8'),
    );
    expect(text).toContain('TEST_WEBHOOK_URL');
    expect(text).not.toContain('sesame');
  }
});

test('nobody waits: the backup has ended while the place is still away', async () => {
  answer = () => 503;
  const workflowId = `backup:orders:b${++backups}`;
  const http = createActivities(bench.client).activities.http;
  await bench.withActivities({ ...capture(2), http }, async () => {
    await bench.client.workflow.execute('backup', {
      workflowId,
      taskQueue: bench.taskQueue,
      args: [{ pipeline: pipelineOf(CAPTURE), backup: `b${backups}`, notify: [WEBHOOK] }],
    });
    const telling = bench.client.workflow.getHandle(`${workflowId}:notify:end`);
    expect((await telling.describe()).status.name).toBe('RUNNING');
    answer = () => 200;
    await eventually('it is told in the end', async () => told.length === 1);
  });
});

describe('a Slack message', () => {
  const notification: Notification = {
    event: 'drill',
    plan: 'orders',
    labels: {},
    ok: false,
    headline: 'Drill of orders: FAILED. <!channel> & more',
    at: '2026-11-24T10:00:00.000Z',
    workflowId: 'drill:orders:1',
    error: { code: 'DRILL_FAILED', message: 'x' },
    facts: Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`fact ${n}`, 'y'.repeat(5_000)])),
  };

  const messageOf = (told: Notification) => deliveryTo(SLACK, told, 'message').body;

  test('stays within what Slack takes, and nothing in it is markup', () => {
    const { blocks } = messageOf({ ...notification, headline: '<'.repeat(9_000) }) as {
      blocks: { type: string; text?: { text: string }; fields?: { text: string }[] }[];
    };
    for (const { type, text, fields } of blocks) {
      expect(text?.text.length ?? 0).toBeLessThanOrEqual(type === 'header' ? 150 : 3_000);
      expect(fields?.length ?? 0).toBeLessThanOrEqual(10);
      for (const field of fields ?? []) expect(field.text.length).toBeLessThanOrEqual(2_000);
    }
    const text = JSON.stringify(messageOf(notification));
    expect(text).toContain('&lt;!channel&gt; &amp; more');
    expect(text).not.toContain('<!channel>');
  });
});
