import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { Pipeline } from '../../model/pipeline.ts';
import { applyPlan, planRevision, planStatus } from '../../workflows/plan-messages.ts';
import { holdfastJson, type RunningCommand, startHoldfast } from '../support/holdfast.ts';
import { planDocument, repositoryDocument } from '../support/plan-files.ts';
import { pipelineOf } from '../workflows/scripted-worker.ts';

/**
 * Another user of the machine, who can reach the embedded server's port and nothing else: clients of Temporal's own SDK without the key that
 * lies in the state folder. On the real server and worker.
 */
let folder: string;
let environment: NodeJS.ProcessEnv;
let dev: RunningCommand;
let connection: Connection;
let attacker: Client;
let victimQueue: string;
let hook: Server;
let called = 0;
let hookUrl: string;

const plan = () => path.join(folder, 'orders.yaml');
const stateFile = (name: string) => path.join(folder, 'state', name);

async function startDev(): Promise<void> {
  dev = startHoldfast(['dev', '--json'], environment);
  while (dev.output() === '') await sleep(100);
  const { address } = JSON.parse(dev.output()) as { address: string };
  connection = await Connection.connect({ address });
  attacker = new Client({ connection });
  const { workers } = JSON.parse(await readFile(stateFile('embedded.json'), 'utf8'));
  // The server tells anybody which queues are polled; this is the short way.
  [victimQueue = ''] = Object.keys(workers);
}

/** As Ctrl-C does, which ends server and worker too. */
async function endDev(): Promise<void> {
  await connection.close();
  dev.child.kill('SIGINT');
  await dev.end;
}

beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-forged-'));
  await mkdir(path.join(folder, 'repository'));
  await writeFile(
    plan(),
    repositoryDocument(folder) + planDocument('orders', '  schedule: { cron: "0 3 1 1 *", timezone: UTC }\n'),
  );
  environment = {
    HOLDFAST_STATE_DIR: path.join(folder, 'state'),
    ORDERS_DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/orders',
  };
  hook = createServer((_request, response) => {
    called += 1;
    response.end('{}');
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => hook.once('listening', resolve));
  hookUrl = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/`;
  await startDev();
});
afterAll(async () => {
  await endDev();
  hook.close();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  called = 0;
});

/** A pipeline that calls an address of the attacker's with what the worker knows. */
const forgedPipeline = (): Pipeline =>
  pipelineOf([
    { id: 'http', verb: 'http', when: 'always', options: { url: { literal: hookUrl }, method: 'POST' } },
  ]);

async function endOf(workflowId: string): Promise<string> {
  try {
    await attacker.workflow.getHandle(workflowId).result();
    return 'done';
  } catch (error) {
    const texts: string[] = [];
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) texts.push(cause.message);
    return texts.join('; ');
  }
}

const REFUSED = /signature .* lacks|whose signature/;

test('the key lies in the state folder, for its owner alone', async () => {
  expect((await stat(stateFile('signing-key.json'))).mode & 0o777).toBe(0o600);
  expect((await stat(path.join(folder, 'state'))).mode & 0o777).toBe(0o700);
});

test('a forged start of a workflow does nothing', async () => {
  const { workflowId } = await attacker.workflow.start('backup', {
    workflowId: 'forged-backup',
    taskQueue: victimQueue,
    args: [{ pipeline: forgedPipeline() }],
  });
  expect(await endOf(workflowId)).toMatch(REFUSED);
  expect(called).toBe(0);
});

test('a forged activity, asked for by a worker of the attacker’s own, does nothing', async () => {
  const native = await NativeConnection.connect({ address: connection.options.address });
  const worker = await Worker.create({
    connection: native,
    taskQueue: 'attacker',
    workflowsPath: fileURLToPath(new URL('./attacker/workflows.ts', import.meta.url)),
  });
  try {
    const end = await worker.runUntil(async () => {
      const { workflowId } = await attacker.workflow.start('attack', {
        workflowId: 'attack',
        taskQueue: 'attacker',
        args: [victimQueue, hookUrl],
      });
      return endOf(workflowId);
    });
    expect(end).toMatch(REFUSED);
    expect(called).toBe(0);
  } finally {
    await native.close();
  }
});

test('what the owner’s commands send is done, and a forged change of the plan is not', async () => {
  expect(await holdfastJson(['apply', plan()], environment)).toMatchObject({ changes: 1 });
  expect(await holdfastJson(['pause', 'orders'], environment)).toBeDefined();
  expect(await holdfastJson(['resume', 'orders'], environment)).toBeDefined();

  const entity = attacker.workflow.getHandle('plan:orders');
  const { generation } = await entity.query(planStatus);
  const revision = await entity.query(planRevision);
  const forged = { ...revision, plan: { ...revision.plan, pipeline: forgedPipeline() } };
  await expect(
    entity.executeUpdate(applyPlan, { args: [{ revision: forged, after: generation, keepPauses: true }] }),
  ).rejects.toMatchObject({ cause: { message: expect.stringMatching(REFUSED) } });
  expect((await entity.query(planStatus)).generation).toBe(generation);
});

test('a signal that a person types into the UI, which nothing signs, is still taken', async () => {
  const entity = attacker.workflow.getHandle('plan:orders');
  await entity.signal('pause', { reason: 'by hand' });
  const deadline = Date.now() + 20_000;
  while ((await entity.query(planStatus)).paused === null && Date.now() < deadline) await sleep(200);
  expect((await entity.query(planStatus)).paused).toMatchObject({ reason: 'by hand' });
  await entity.signal('resume', {});
});

test('an installation that had no key gets one, and its plans and schedules go on', async () => {
  await endDev();
  await rm(stateFile('signing-key.json'));
  await startDev();
  expect((await stat(stateFile('signing-key.json'))).mode & 0o777).toBe(0o600);
  expect(await holdfastJson(['pause', 'orders'], environment)).toBeDefined();
  expect(await holdfastJson(['resume', 'orders'], environment)).toBeDefined();

  await attacker.schedule.getHandle('backup:orders').trigger();
  const began = await firstRunOf('backup');
  await sleep(2_000);
  const { status } = await attacker.workflow.getHandle(began).describe();
  const end = status.name === 'RUNNING' ? 'runs' : await endOf(began);
  expect(end).not.toMatch(REFUSED);
  await attacker.workflow
    .getHandle(began)
    .cancel()
    .catch(() => undefined);

  const { workflowId } = await attacker.workflow.start('backup', {
    workflowId: 'forged-again',
    taskQueue: victimQueue,
    args: [{ pipeline: forgedPipeline() }],
  });
  expect(await endOf(workflowId)).toMatch(REFUSED);
});

/** Id of a run of the plan `orders` that a schedule began. */
async function firstRunOf(type: string): Promise<string> {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    for await (const { workflowId } of attacker.workflow.list({ query: `WorkflowType="${type}"` }))
      if (!workflowId.startsWith('forged')) return workflowId;
    await sleep(300);
  }
  throw new Error(`no ${type} began`);
}
