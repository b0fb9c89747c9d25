import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client, WorkflowUpdateFailedError } from '@temporalio/client';
import { Worker } from '@temporalio/worker';
import type { Activities } from '../../activities/contract.ts';
import { createActivities } from '../../activities/index.ts';
import { personIn } from '../../model/person.ts';
import type { CompiledPlan, RepositorySpec } from '../../model/pipeline.ts';
import { readAudit } from '../../repository/audit.ts';
import { openStore } from '../../repository/open.ts';
import { ensureRepository } from '../../repository/repository.ts';
import { workflowBundle } from '../../worker/bundle.ts';
import { newPlanState } from '../../workflows/plan-entity.ts';
import {
  type PersonsMessage,
  type PlanStatus,
  personsUpdate,
  planStatus,
  planWorkflowId,
} from '../../workflows/plan-messages.ts';
import { eventually } from '../support/processes.ts';
import { endPromiseHooksAfterwards } from '../support/promise-hooks.ts';
import { type Bench, CAPTURE, pipelineOf, restoring, startBench } from './scripted-worker.ts';

endPromiseHooksAfterwards();

/** Who asks, who approves and who is in the log, by the names that a real Temporal recorded with the messages. */
let bench: Bench;
let folder: string;
let repository: RepositorySpec;
let plans = 0;

beforeAll(async () => {
  bench = await startBench();
  folder = await mkdtemp(path.join(tmpdir(), 'holdfast-two-people-'));
  repository = { name: 'main', location: { kind: 'directory', path: folder } };
  await ensureRepository(await open());
});
afterAll(async () => {
  await bench?.stop();
  await rm(folder, { recursive: true, force: true });
});

const open = () =>
  openStore(repository, () => {
    throw new Error('the repository has no secret');
  });

interface Plan {
  readonly name: string;
  readonly status: () => Promise<PlanStatus>;
  /** As a command or a program sends it. */
  readonly update: (by: string, message: PersonsMessage, argument?: object) => Promise<unknown>;
  /** As the Temporal UI sends it. */
  readonly signal: (by: string, message: PersonsMessage, argument?: object) => Promise<void>;
}

const RESTORE = { to: '2026-11-24T02:00:00Z', replace: true };

async function withPlan(
  approval: 'required' | 'two-people',
  body: (plan: Plan) => Promise<void>,
  activities: Partial<Activities> = {},
): Promise<void> {
  const name = `people${++plans}`;
  const pipeline = { ...pipelineOf(CAPTURE), plan: name, repository };
  const restore = { approval, safetyBackup: false };
  const plan: CompiledPlan = { name, file: 'plans/people.yaml', pipeline, restore };
  const real = createActivities(bench.client);
  const { recordAct } = real.activities;
  await bench.withActivities({ ...storage(), recordAct, ...activities }, async () => {
    const { taskQueue, client } = bench;
    const workflowId = planWorkflowId(name);
    const state = newPlanState({ plan, set: 'default', taskQueue }, new Date().toISOString());
    const handle = await client.workflow.start('plan', { workflowId, taskQueue, args: [state] });
    await body({
      name,
      status: () => handle.query(planStatus),
      update: (identity, message, argument = {}) =>
        new Client({ connection: client.connection, identity }).workflow
          .getHandle(workflowId)
          .executeUpdate(personsUpdate(message), { args: [argument] }),
      signal: async (identity, signalName, argument = {}) => {
        const data = Buffer.from(JSON.stringify(argument));
        await client.workflowService.signalWorkflowExecution({
          ...{ namespace: 'default', workflowExecution: { workflowId }, signalName, identity },
          input: { payloads: [{ metadata: { encoding: Buffer.from('json/plain') }, data }] },
        });
      },
    });
    const history = await handle.fetchHistory();
    await Worker.runReplayHistory({ workflowBundle: await workflowBundle() }, history, workflowId);
    await handle.terminate();
  });
  await real.close();
}

/** Storage that holds one backup, which meets every request. */
function storage(): Partial<Activities> {
  const instant = '2026-11-24T02:00:00.000Z';
  return {
    ...restoring(),
    surveyPlan: async () => ({
      ...{ readAt: new Date().toISOString(), backups: 1, unusable: 0, storedBytes: 1, schedules: [] },
      window: { instants: [{ at: instant, backup: 'b1', verified: true }], ranges: [] },
    }),
    decideRestore: async () => ({
      databases: ['orders'],
      decision: {
        ...{ kind: 'restore', way: 'backup', backup: 'b1', instant, why: 'newest', notes: [] },
        lost: { from: instant, to: '2026-11-24T10:00:00.000Z', durationMs: 1 },
        cost: { rows: 1, bytes: 1, storedBytes: 1, basis: 'none' },
      },
    }),
  };
}

const waits = (plan: Plan) =>
  eventually('it waits for approval', async () =>
    (await plan.status()).requests.some(({ state }) => state === 'awaiting-approval'),
  );

async function codeOf(refused: Promise<unknown>): Promise<string> {
  try {
    await refused;
    return 'accepted';
  } catch (error) {
    if (!(error instanceof WorkflowUpdateFailedError)) throw error;
    return error.cause !== undefined && 'type' in error.cause ? String(error.cause.type) : 'no type';
  }
}

test('of a plan for two people, whoever asks can’t approve: not from another machine, by the UI or after an agent', async () => {
  await withPlan('two-people', async (plan) => {
    await plan.update('alice@laptop (mcp)', 'restore', { ...RESTORE, requestId: 'r-1' });
    await waits(plan);
    expect((await plan.status()).requests[0]).toMatchObject({ by: 'alice@laptop (mcp)' });
    for (const one of [
      'alice@laptop',
      'alice@server',
      'temporal-cli:alice@laptop',
      '4711@laptop',
      'alice by GitHub Actions (x)',
    ]) {
      expect([one, await codeOf(plan.update(one, 'approve'))]).toEqual([one, 'APPROVAL_OWN_REQUEST']);
    }
    for (const one of ['Alice@example.com', '']) await plan.signal(one, 'approve');
    await eventually('both signals are refused', async () => (await plan.status()).refused.count === 2);
    const { requests, refused } = await plan.status();
    expect(requests[0]?.state).toBe('awaiting-approval');
    expect(refused.last.map(({ reason }) => reason)).toEqual([
      expect.stringContaining('who approves r-1 is not known'),
      expect.stringContaining('Alice@example.com asked for r-1 (alice@laptop (mcp))'),
    ]);
    expect(await codeOf(plan.update('bob@laptop', 'approve'))).toBe('accepted');
    await eventually('it is restored', async () => (await plan.status()).closed[0]?.outcome === 'done');
  });
});

test('a restore of which nobody knows who asked can’t be approved, and can be cancelled', async () => {
  await withPlan('two-people', async (plan) => {
    await plan.signal('', 'restore', RESTORE);
    await waits(plan);
    expect(await codeOf(plan.update('bob@laptop', 'approve'))).toBe('APPROVAL_OWN_REQUEST');
    expect(await codeOf(plan.update('bob@laptop', 'cancel'))).toBe('accepted');
  });
});

test('of a plan that only asks for approval, one person may do both', async () => {
  await withPlan('required', async (plan) => {
    await plan.update('alice@laptop', 'restore', RESTORE);
    await waits(plan);
    expect(await codeOf(plan.update('alice@laptop', 'approve'))).toBe('accepted');
  });
});

test('rows alone into the original wait for another person too', async () => {
  await withPlan('two-people', async (plan) => {
    await plan.update('alice@laptop', 'restore', { to: RESTORE.to, options: { contents: 'data' } });
    await waits(plan);
    expect(await codeOf(plan.update('alice@laptop', 'approve'))).toBe('APPROVAL_OWN_REQUEST');
    expect(await codeOf(plan.update('bob@laptop', 'approve'))).toBe('accepted');
    await eventually('it is restored', async () => (await plan.status()).closed[0]?.outcome === 'done');
  });
});

test('signals are in the log of the plan, with who sent them; commands write there themselves', async () => {
  await withPlan('two-people', async (plan) => {
    await plan.signal('alice@example.com', 'pause', { reason: 'migration' });
    await plan.update('bob@laptop', 'resume');
    await plan.signal('alice@example.com', 'restore', { ...RESTORE, requestId: 'r-1', reason: 'lost rows' });
    await waits(plan);
    await plan.signal('alice@example.com', 'approve');
    await plan.signal('bob@example.com', 'approve', { requestId: 'r-1' });
    await eventually('it is restored', async () => (await plan.status()).closed[0]?.outcome === 'done');
    const log = async () => readAudit(await open(), plan.name);
    await eventually('all is in the log', async () => (await log()).entries.length === 3);
    const { entries, problems } = await log();
    expect(problems).toEqual([]);
    expect(entries.map(({ by, action, reason }) => [by, action, reason])).toEqual([
      ['alice@example.com, by a signal', 'pause', 'migration'],
      ['alice@example.com, by a signal', 'restore', 'lost rows'],
      ['bob@example.com, by a signal', 'approve', undefined],
    ]);
    expect(entries[2]?.subject).toMatch(/^restore:/);
  });
});

test('a log that can’t be written is told, and keeps nothing from being done', async () => {
  const recordAct: Activities['recordAct'] = async () => {
    const { ApplicationFailure } = await import('@temporalio/common');
    throw ApplicationFailure.nonRetryable('access denied', 'STORE_DENIED');
  };
  const body = async (plan: Plan) => {
    await plan.signal('alice@example.com', 'pause');
    await eventually('it is paused', async () => (await plan.status()).paused !== null);
    await eventually('it is told', async () => (await plan.status()).refused.count === 1);
    expect((await plan.status()).refused.last[0]).toMatchObject({
      code: 'STORE_DENIED',
      reason: 'the pause of alice@example.com, by a signal is not in the log: access denied',
    });
  };
  await withPlan('required', body, { recordAct });
});

test.each([
  ['alice@laptop', 'alice'],
  ['Alice@example.com', 'alice'],
  ['alice@laptop (mcp)', 'alice'],
  ['temporal-cli:alice@laptop', 'alice'],
  ['alice by GitHub Actions (acme/plans, run 7)', 'alice'],
  ['4711@laptop', undefined],
  ['@laptop', undefined],
  ['', undefined],
  [undefined, undefined],
])('the person in %s is %s', (identity, person) => {
  expect(personIn(identity)).toBe(person);
});
