import { Context } from '@temporalio/activity';
import { WithStartWorkflowOperation, WorkflowUpdateFailedError } from '@temporalio/client';
import { Worker } from '@temporalio/worker';
import { defineSignal } from '@temporalio/workflow';
import type { Activities } from '../../activities/contract.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { PlanSurvey } from '../../model/survey.ts';
import { workflowBundle } from '../../worker/bundle.ts';
import { lockState } from '../../workflows/messages.ts';
import { newPlanState } from '../../workflows/plan-entity.ts';
import {
  type Application,
  applyPlan,
  PERSONS_MESSAGES,
  type PlanStatus,
  personsSignal,
  personsUpdate,
  planStatus,
  planWorkflowId,
  recoveryWindow,
  removePlan,
} from '../../workflows/plan-messages.ts';
import { eventually } from '../support/processes.ts';
import { endPromiseHooksAfterwards } from '../support/promise-hooks.ts';
import { type Bench, CAPTURE, capture, pipelineOf, restoring, startBench } from './scripted-worker.ts';

endPromiseHooksAfterwards();

/** A plan's entity on a real Temporal server; what its activities find is the test's own. */
let bench: Bench;
let plans = 0;

beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

function newPlan(changes: Partial<CompiledPlan> = {}): CompiledPlan {
  const name = `plan${++plans}`;
  return { name, file: `plans/${name}.yaml`, pipeline: { ...pipelineOf(CAPTURE), plan: name }, ...changes };
}

const survey = (changes: Partial<PlanSurvey> = {}): PlanSurvey => ({
  ...{
    readAt: new Date().toISOString(),
    repositoryId: 'r',
    backups: 1,
    unusable: 0,
    storedBytes: 1,
    schedules: [],
  },
  window: { instants: [{ at: '2026-11-24T02:00:00.000Z', backup: 'b1', verified: true }], ranges: [] },
  ...changes,
});

/** Storage that holds one backup, which meets every request. */
function storage(): Partial<Activities> {
  return {
    ...capture(1),
    ...restoring(),
    surveyPlan: async () => survey(),
    decideRestore: async ({ request }) =>
      request.to === 'never'
        ? {
            databases: [],
            decision: {
              ...{
                kind: 'refused',
                code: 'INSTANT_NOT_EXACT',
                reason: 'nothing holds it',
                remedy: 'Ask for one.',
              },
              ...{ notes: [], before: '2026-11-24T02:00:00.000Z' },
            },
          }
        : {
            databases: ['orders'],
            decision: {
              ...{
                kind: 'restore',
                way: 'backup',
                backup: 'b1',
                instant: '2026-11-24T02:00:00.000Z',
                why: 'newest',
              },
              ...{ notes: [], cost: { rows: 1, bytes: 1, storedBytes: 1, basis: 'none' } },
              lost: { from: '2026-11-24T02:00:00.000Z', to: '2026-11-24T10:00:00.000Z', durationMs: 1 },
            },
          },
  };
}

async function apply(plan: CompiledPlan, changes: Partial<Application> = {}, historyEvents?: number) {
  const revision = { plan, set: 'default', taskQueue: bench.taskQueue };
  const state = newPlanState(revision, new Date().toISOString());
  const operation = new WithStartWorkflowOperation('plan', {
    workflowId: planWorkflowId(plan.name),
    taskQueue: bench.taskQueue,
    workflowIdConflictPolicy: 'USE_EXISTING',
    args: [historyEvents === undefined ? state : { ...state, historyEvents }],
  });
  const applied = await bench.client.workflow.executeUpdateWithStart(applyPlan, {
    startWorkflowOperation: operation,
    args: [{ revision, after: 0, keepPauses: true, ...changes }],
  });
  return { applied, handle: bench.client.workflow.getHandle(planWorkflowId(plan.name)) };
}

type Entity = Awaited<ReturnType<typeof apply>>['handle'];

const statusOf = (entity: Entity): Promise<PlanStatus> => entity.query(planStatus);
const until = (what: string, entity: Entity, holds: (status: PlanStatus) => boolean): Promise<void> =>
  eventually(what, async () => holds(await statusOf(entity)));

/** A worker that takes the entity over comes by its history to the same commands. */
async function replays(entity: Entity): Promise<void> {
  const history = await entity.fetchHistory();
  await Worker.runReplayHistory({ workflowBundle: await workflowBundle() }, history, entity.workflowId);
}

/** As the Temporal UI sends it: the text is taken for JSON, whatever it is. */
async function paste(
  entity: Entity,
  signalName: string,
  text: string,
  encoding = 'json/plain',
): Promise<void> {
  await bench.client.workflowService.signalWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId: entity.workflowId },
    signalName,
    input: { payloads: [{ metadata: { encoding: Buffer.from(encoding) }, data: Buffer.from(text) }] },
  });
}

test('signals back up and restore; what is asked and what came of it is in the status', async () => {
  await bench.withActivities(storage(), async () => {
    const { handle } = await apply(newPlan());
    await handle.signal(personsSignal('backup'), { requestId: 'r-1', reason: 'before the migration' });
    await until('the backup is done', handle, ({ closed }) => closed.length === 1);
    await handle.signal(personsSignal('restore'), { to: '2026-11-24T02:00:00Z', into: 'copy' });
    await until('the restore is done', handle, ({ closed }) => closed.length === 2);
    const { closed, lastBackup, running } = await statusOf(handle);
    expect(closed.map(({ kind, outcome }) => [kind, outcome])).toEqual([
      ['restore', 'done'],
      ['backup', 'done'],
    ]);
    expect(lastBackup).toMatchObject({ state: 'done', result: { rows: 10 } });
    expect(running).toEqual([]);
    const run = await bench.client.workflow.getHandle(closed[0]?.workflowId ?? '').fetchHistory();
    expect(JSON.stringify(run)).toBeTruthy();
    expect(await handle.query(recoveryWindow)).toMatchObject({ instants: [{ backup: 'b1' }] });
  });
});

test('whatever is pasted, the entity refuses it with a reason, counts it, and goes on', async () => {
  await bench.withActivities(storage(), async () => {
    const { handle } = await apply(newPlan());
    const pasted: [signal: string, text: string, encoding?: string][] = [
      ...PERSONS_MESSAGES.flatMap((name): [string, string][] => [
        [name, '{to: 2026-11-22'],
        [name, '"text"'],
        [name, '[{}]'],
        [name, '{"nonsense": {"deep": [1, 2, 3]}}'],
        [name, ''],
      ]),
      ['restore', '{"to": "2026-11-22T10:04:00"}x'],
      ['restore', '{"to": "never"}'],
      ['restore', 'x'.repeat(200_000)],
      ['restore', '{}', 'binary/encrypted'],
      ['restore', '\u0000\uffff', 'binary/plain'],
      ['Restore', '{"to": "2026-11-22T10:04:00Z"}'],
      ['ran', '{broken'],
      ['ran', 'null'],
      ['ran', '{"workflowId": 7}'],
      ['__nothing', '{broken'],
    ];
    for (const [signal, text, encoding] of pasted) await paste(handle, signal, text, encoding);
    // What is sent in the name of a run and is no report is nobody's.
    const expected = pasted.filter(([signal]) => signal !== 'ran').length;
    await until('all are refused', handle, ({ refused }) => refused.count >= expected);
    const { refused, requests } = await statusOf(handle);
    expect([refused.count, requests]).toEqual([expected, []]);
    for (const { reason, remedy } of refused.last) expect([reason, remedy]).not.toContain('');
    await handle.signal(personsSignal('backup'));
    await until('a backup is made all the same', handle, ({ closed }) => closed[0]?.outcome === 'done');
    const { raw } = await handle.describe();
    expect(raw.pendingWorkflowTask?.attempt ?? 1).toBe(1);
  });
});

test('a refused message is told to whoever the plan names', async () => {
  const bodies: unknown[] = [];
  const http: Activities['http'] = async ({ body }) => {
    bodies.push(body);
    return { status: 200 };
  };
  await bench.withActivities({ ...storage(), http }, async () => {
    const notify = [{ kind: 'webhook' as const, url: { env: 'HOOK' }, on: ['refused' as const] }];
    const { handle } = await apply(newPlan({ notify }));
    await paste(handle, 'restore', '{to: 2026-11-22');
    await eventually('the refusal is told', async () => bodies.length === 1);
    expect(bodies).toMatchObject([{ event: 'refused', ok: false, facts: { remedy: expect.any(String) } }]);
    await handle.signal(personsSignal('backup'), {});
    await until('the entity goes on', handle, ({ closed }) => closed.length === 1);
  });
});

test('a verification of a backup has the entity look at storage anew', async () => {
  let surveys = 0;
  const surveyPlan: Activities['surveyPlan'] = async () => {
    surveys += 1;
    return survey();
  };
  const verify: Activities['verify'] = async ({ ref, level }) => ({
    ...{ plan: ref.plan, backup: ref.backup, level, verdict: 'OK', checkedObjects: 1, checkedBytes: 1 },
    ...{ problems: [], startedAt: new Date().toISOString(), finishedAt: new Date().toISOString() },
  });
  await bench.withActivities({ ...storage(), surveyPlan, verify }, async () => {
    const plan = newPlan();
    await apply(plan);
    await eventually('the first look is done', async () => surveys > 0);
    const before = surveys;
    const { repository, source } = plan.pipeline;
    await bench.client.workflow.execute('verify', {
      workflowId: `verify:${plan.name}:b1:exists`,
      taskQueue: bench.taskQueue,
      args: [{ ref: { repository, plan: plan.name, backup: 'b1' }, level: 'exists', source }],
    });
    await eventually('it looks again', async () => surveys > before);
  });
});

test('an update says at once what is wrong, and what was accepted', async () => {
  await bench.withActivities(storage(), async () => {
    const { handle } = await apply(newPlan());
    const wrong = handle.executeUpdate(personsUpdate('restore'), { args: [{ too: 1 }] });
    await expect(wrong).rejects.toThrow(WorkflowUpdateFailedError);
    await expect(wrong).rejects.toMatchObject({ cause: { type: 'BAD_REQUEST' } });
    const receipt = await handle.executeUpdate(personsUpdate('backup'), { args: [{ requestId: 'r-1' }] });
    expect(receipt).toMatchObject({ requestId: 'r-1', outcome: 'accepted' });
    const again = await handle.executeUpdate(personsUpdate('backup'), { args: [{ requestId: 'r-1' }] });
    expect(again).toMatchObject({ outcome: 'known', workflowId: receipt.workflowId });
    await until('it is done', handle, ({ closed }) => closed.length === 1);
    await handle.executeUpdate(personsUpdate('restore'), { args: [{ into: 'copy' }] });
    await until('the restore is done', handle, ({ closed }) => closed.length === 2);
    await replays(handle);
  });
});

test('an overwriting restore waits for approval, then for the backup under way, and is alone', async () => {
  let release = false;
  const met: string[] = [];
  const activities: Partial<Activities> = {
    ...storage(),
    upload: async () => {
      met.push('backup');
      while (!release) await Context.current().sleep(20);
      met.push('backup ended');
      return { index: 0, rows: 1, bytes: 1, storedBytes: 1, objects: 1 };
    },
    load: async () => {
      met.push('restore');
      return { rows: 1, bytes: 1 };
    },
  };
  await bench.withActivities(activities, async () => {
    const { handle } = await apply(newPlan());
    await handle.signal(personsSignal('backup'), {});
    await eventually('a backup works', async () => met.length > 0);
    await handle.signal(personsSignal('restore'), { replace: true, safetyBackup: false, requestId: 'r' });
    await until('it waits for approval', handle, ({ requests }) =>
      requests.some(({ state }) => state === 'awaiting-approval'),
    );
    await handle.signal(personsSignal('approve'), {});
    await eventually('it waits for its turn', async () => {
      const { waiting } = await bench.client.workflow.getHandle(`source:${bench.taskQueue}`).query(lockState);
      return waiting.length === 1;
    });
    expect(met).toEqual(['backup']);
    release = true;
    await until('both are done', handle, ({ closed }) => closed.length === 2);
    expect(met.slice(0, 3)).toEqual(['backup', 'backup ended', 'restore']);
  });
});

test('cancel ends a run, whoever started it', async () => {
  const activities: Partial<Activities> = {
    ...storage(),
    upload: async () => {
      for (;;) {
        Context.current().heartbeat();
        await Context.current().sleep(20);
      }
    },
  };
  await bench.withActivities(activities, async () => {
    const plan = newPlan();
    const { handle } = await apply(plan);
    const stray = await bench.client.workflow.start('backup', {
      ...{ workflowId: `backup:${plan.name}:by-hand`, taskQueue: bench.taskQueue },
      args: [{ pipeline: plan.pipeline, backup: 'by-hand' }],
    });
    await until('the entity knows of it', handle, ({ running }) => running.length === 1);
    await handle.signal(personsSignal('cancel'), {});
    await expect(stray.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
    await until('it is gone', handle, ({ running }) => running.length === 0);
  });
});

test('a plan that is removed while its backup runs lets it run on to its end', async () => {
  let release = false;
  const upload: Activities['upload'] = async () => {
    while (!release) await Context.current().sleep(20);
    return { index: 0, rows: 10, bytes: 100, storedBytes: 40, objects: 1 };
  };
  await bench.withActivities({ ...storage(), upload }, async () => {
    const { handle } = await apply(newPlan());
    await handle.signal(personsSignal('backup'), {});
    await until('the backup runs', handle, ({ running }) => running.length === 1);
    const [run] = (await statusOf(handle)).running;
    await handle.executeUpdate(removePlan);
    await handle.result();
    release = true;
    const backup = bench.client.workflow.getHandle(run?.workflowId ?? '');
    await expect(backup.result()).resolves.toMatchObject({ summary: { rows: 10 } });
  });
});

describe('its schedule', () => {
  const cron = { cron: ['0 2 * * *'], timezone: 'Europe/Berlin', overlap: 'skip' as const };
  const scheduleOf = (plan: CompiledPlan) =>
    bench.client.schedule.getHandle(`backup:${plan.name}`).describe();

  test('is created, changed, put back, paused, and removed with the plan', async () => {
    await bench.withActivities(storage(), async () => {
      const plan = newPlan({ schedule: cron });
      const { applied, handle } = await apply(plan);
      expect(applied.changes).toEqual([{ schedule: `backup:${plan.name}`, done: 'created' }]);
      const made = await scheduleOf(plan);
      expect([made.spec.timezone, made.policies.overlap, made.policies.catchupWindow]).toEqual([
        'Europe/Berlin',
        'SKIP',
        6 * 3_600_000,
      ]);

      const same = await apply(plan, { after: 1 });
      expect(same.applied).toEqual({ generation: 2, changes: [] });

      await bench.client.schedule
        .getHandle(`backup:${plan.name}`)
        .update((previous) => ({ ...previous, policies: { ...previous.policies, overlap: 'ALLOW_ALL' } }));
      const drifted = await apply(plan, { after: 2 });
      expect(drifted.applied.changes).toEqual([{ schedule: `backup:${plan.name}`, done: 'updated' }]);
      expect((await scheduleOf(plan)).policies.overlap).toBe('SKIP');

      await bench.client.schedule.getHandle(`backup:${plan.name}`).pause('by hand');
      await apply(plan, { after: 3 });
      expect((await scheduleOf(plan)).state).toMatchObject({ paused: true, note: 'by hand' });
      await apply(plan, { after: 4, keepPauses: false });
      expect((await scheduleOf(plan)).state.paused).toBe(false);

      await handle.signal(personsSignal('pause'), { reason: 'migration' });
      await eventually('it is paused', async () => (await scheduleOf(plan)).state.paused);
      await handle.signal(personsSignal('resume'));
      await eventually('it goes on', async () => !(await scheduleOf(plan)).state.paused);

      const moved = { ...plan, schedule: { ...cron, cron: ['30 3 * * 1-5'] } };
      const changed = await apply(moved, { after: 7 });
      expect(changed.applied.changes).toEqual([{ schedule: `backup:${plan.name}`, done: 'updated' }]);

      const { changes } = await handle.executeUpdate(removePlan);
      expect(changes).toEqual([{ schedule: `backup:${plan.name}`, done: 'deleted' }]);
      await handle.result();
    });
  });

  test('starts backups that the entity hears of', async () => {
    await bench.withActivities(storage(), async () => {
      const plan = newPlan({ schedule: cron });
      const { handle } = await apply(plan);
      await bench.client.schedule.getHandle(`backup:${plan.name}`).trigger();
      await until('it is done', handle, ({ lastBackup }) => lastBackup?.state === 'done');
      const { lastBackup } = await statusOf(handle);
      expect(lastBackup?.workflowId).toContain(`backup:${plan.name}-workflow-20`.replace('-workflow', ''));
      expect(lastBackup?.id).toMatch(/^\d{8}T\d{6}Z-[0-9a-f]{6}$/);
    });
  });
});

test('a plan that is applied to another task queue moves there, with all that it knows', async () => {
  await bench.withActivities(storage(), async () => {
    const plan = newPlan();
    const { handle } = await apply(plan);
    await handle.executeUpdate(personsUpdate('backup'), { args: [{ requestId: 'r-1' }] });
    await until('the first backup is done', handle, ({ closed }) => closed.length === 1);
    const before = bench.taskQueue;
    await bench.withActivities(storage(), async () => {
      expect(bench.taskQueue).not.toBe(before);
      await apply(plan, { after: 1 });
      await eventually('it has moved', async () => (await handle.describe()).taskQueue === bench.taskQueue);
      await handle.executeUpdate(personsUpdate('backup'), { args: [{ requestId: 'r-2' }] });
      await until('the second backup is done', handle, ({ closed }) => closed.length === 2);
      const { taskQueue, closed } = await statusOf(handle);
      expect([taskQueue, closed.map(({ requestId }) => requestId)]).toEqual([
        bench.taskQueue,
        ['r-2', 'r-1'],
      ]);
      const run = bench.client.workflow.getHandle(closed[0]?.workflowId ?? '');
      expect((await run.describe()).taskQueue).toBe(bench.taskQueue);
    });
  });
});

test('an apply that comes just as the history is full is done, before the entity goes on in a new run', async () => {
  await bench.withActivities(storage(), async () => {
    const idle = async (handle: Entity) => {
      await until('it has looked at storage', handle, ({ survey: found }) => found !== null);
      return Number((await handle.describe()).historyLength);
    };
    const usual = await idle((await apply(newPlan())).handle);
    // Whatever the events of one message are, some of these limits are reached with it and not before.
    for (let more = 1; more <= 6; more++) {
      const plan = newPlan();
      const { handle } = await apply(plan, {}, usual + more);
      await idle(handle);
      const first = (await handle.describe()).runId;
      await apply(plan, { after: 1 });
      await eventually('it goes on in a new run', async () => (await handle.describe()).runId !== first);
    }
  });
});

test('of two applies at once one wins, and the other says that it was overtaken', async () => {
  await bench.withActivities(storage(), async () => {
    const plan = newPlan();
    await apply(plan);
    const outcomes = await Promise.allSettled([apply(plan, { after: 1 }), apply(plan, { after: 1 })]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  });
});

test('90 signals and 15 backups in runs of some 100 events each: none is lost, none acts twice', async () => {
  const uploaded: string[] = [];
  const activities: Partial<Activities> = {
    ...storage(),
    seal: async (input) => {
      uploaded.push(input.ref.backup);
      return await capture(1).seal(input);
    },
  };
  await bench.withActivities(activities, async () => {
    const { handle } = await apply(newPlan(), {}, 100);
    for (let index = 0; index < 15; index++) {
      const noise = ['approve', 'resume', 'cancel'].map((name) =>
        handle.signal(defineSignal<[unknown]>(name), { requestId: `nobody-${index}` }),
      );
      const twice = [1, 2].map(() => handle.signal(personsSignal('backup'), { requestId: `r-${index}` }));
      await Promise.all([...noise, ...twice, paste(handle, 'restore', '{broken')]);
      if (index % 5 === 4) await until('all are done', handle, ({ requests }) => requests.length === 0);
    }
    expect(new Set(uploaded).size).toBe(15);
    expect(uploaded).toHaveLength(15);
    const status = await statusOf(handle);
    const received: string[] = [];
    let runs = 0;
    const { raw } = await handle.describe();
    let runId = raw.workflowExecutionInfo?.firstRunId;
    while (runId != null) {
      const { events } = await bench.client.workflow.getHandle(handle.workflowId, runId).fetchHistory();
      const names = (events ?? []).map((event) => event.workflowExecutionSignaledEventAttributes?.signalName);
      received.push(...names.filter((name) => name != null));
      expect(events?.length).toBeLessThan(400);
      runs += 1;
      runId = events?.at(-1)?.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId;
    }
    // A client that hears no answer sends again, so there may be more than were meant.
    const refusable = received.filter((name) => ['approve', 'resume', 'cancel', 'restore'].includes(name));
    expect(refusable.length).toBeGreaterThanOrEqual(60);
    expect(status.refused.count).toBe(refusable.length);
    expect(runs).toBeGreaterThan(3);
  });
});
