import { ApplicationFailure } from '@temporalio/common';
import { Worker } from '@temporalio/worker';
import type { Activities, AdoptInput } from '../../activities/contract.ts';
import { createActivities } from '../../activities/index.ts';
import { removeEntity, removeGone } from '../../library/plan-entities.ts';
import { defined } from '../../model/defined.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import { APPLIED_AT_ONCE, type Listing } from '../../planning/discovery.ts';
import { workflowBundle } from '../../worker/bundle.ts';
import { planSources } from '../../worker/plan-sources.ts';
import { newPlanState } from '../../workflows/plan-entity.ts';
import {
  forgetDatabase,
  type PlanState,
  personsUpdate,
  planStatus,
  planWorkflowId,
  removePlan,
} from '../../workflows/plan-messages.ts';
import { eventually } from '../support/processes.ts';
import { endPromiseHooksAfterwards } from '../support/promise-hooks.ts';
import { type Bench, CAPTURE, pipelineOf, startBench } from './scripted-worker.ts';

endPromiseHooksAfterwards();

/** A plan with `discover` on a real Temporal server; which databases there are is the test's own. */
let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

const EVERY_MS = 300;

const listing = (found: readonly string[], more: Partial<Listing> = {}): Listing => ({
  ...{ found, leftOut: [], refused: [] },
  ...more,
});

async function withFleet(
  name: string,
  activities: Partial<Activities>,
  body: (handle: ReturnType<Bench['client']['workflow']['getHandle']>) => Promise<void>,
  { slots, ...state }: { readonly slots?: number } & Partial<PlanState> = {},
): Promise<void> {
  const pipeline = { ...pipelineOf(CAPTURE), plan: name };
  const plan: CompiledPlan = {
    ...{ name, file: 'plans/fleet.yaml', pipeline, discover: { everyMs: EVERY_MS } },
    notify: [{ kind: 'webhook', url: { env: 'EVENTS_URL' }, on: ['all'] }],
  };
  const surveyPlan: Activities['surveyPlan'] = async () => ({
    ...{ readAt: new Date().toISOString(), backups: 0, unusable: 0, storedBytes: 0, schedules: [] },
    window: { instants: [], ranges: [] },
  });
  const fleet = async () => {
    const { taskQueue } = bench;
    const fresh = newPlanState({ plan, set: 'default', taskQueue }, new Date().toISOString());
    const handle = await bench.client.workflow.start('plan', {
      ...{ workflowId: planWorkflowId(name), taskQueue, args: [{ ...fresh, ...state }] },
    });
    await body(handle);
    const history = await handle.fetchHistory();
    await Worker.runReplayHistory({ workflowBundle: await workflowBundle() }, history, handle.workflowId);
    if ((await handle.describe()).status.name === 'RUNNING') await handle.terminate();
  };
  await bench.withActivities({ surveyPlan, ...activities }, fleet, defined({ slots }));
}

test('what can’t be listed or applied is told once, and stops neither the others nor the next look', async () => {
  let looks = 0;
  const adopted: string[] = [];
  const told: string[] = [];
  const activities: Partial<Activities> = {
    listDatabases: async () => {
      looks += 1;
      if (looks <= 2) throw ApplicationFailure.nonRetryable('the server is away', 'YSQL_CONNECTION');
      return listing(['orders', 'crm', 'Shouted']);
    },
    adoptPlan: async ({ workflowId }: AdoptInput) => {
      if (workflowId.endsWith('-crm')) throw ApplicationFailure.nonRetryable('taken', 'PLAN_NAME_TAKEN');
      adopted.push(workflowId);
    },
    http: async ({ body }) => {
      told.push(typeof body === 'string' ? body : String(body.type));
      return { status: 200 };
    },
  };
  await withFleet('fleet', activities, async (handle) => {
    await eventually('it has looked often', async () => looks >= 6);
    await eventually('all is told', async () => told.length >= 3);
    const { discovery } = await handle.query(planStatus);
    expect(discovery?.members).toEqual([{ database: 'orders', inLineWith: 0 }]);
    expect(discovery?.refused.map(({ database }) => database).sort()).toEqual(['Shouted', 'crm']);
    expect(discovery?.failure).toBeUndefined();
    // A refused one is tried at each look, since the name may have become free; a plan that is in line is left alone.
    expect(adopted).toEqual(['plan:fleet-orders']);
    expect(told.toSorted()).toEqual(['discover.failed', 'discover.found', 'discover.refused']);
  });
});

test('a plan that is removed during a look makes no more plans: those that are removed with it must not come back', async () => {
  const adopted: string[] = [];
  let removed = (): void => undefined;
  const removal = new Promise<void>((resolve) => {
    removed = resolve;
  });
  const activities: Partial<Activities> = {
    listDatabases: async () => listing(Array.from({ length: 20 }, (_, index) => `tenant${index}`)),
    adoptPlan: async ({ workflowId }: AdoptInput) => {
      adopted.push(workflowId);
      await removal;
    },
  };
  await withFleet('leaving', activities, async (handle) => {
    await eventually('some are being made', async () => adopted.length === 8);
    await handle.startUpdate(removePlan, { waitForStage: 'ACCEPTED' });
    removed();
    await handle.result();
    expect(adopted).toHaveLength(8);
  });
});

test('a database that is forgotten during a look gets no plan anew, and is no member after it', async () => {
  const goneSince = new Date().toISOString();
  const names = Array.from({ length: 10 }, (_, index) => `gone${index}`);
  const members = names.map((database) => ({ database, inLineWith: -1, goneSince }));
  const discovery = { at: goneSince, generation: -1, members, refused: [] };
  const adopted: (string | undefined)[] = [];
  const { promise: forgotten, resolve: goOn } = Promise.withResolvers<void>();
  const activities: Partial<Activities> = {
    listDatabases: async () => listing(['shop']),
    adoptPlan: async ({ application }: AdoptInput) => {
      adopted.push(application.revision.plan.discovered?.database);
      await forgotten;
    },
    http: async () => ({ status: 200 }),
  };
  const body = async (handle: ReturnType<Bench['client']['workflow']['getHandle']>) => {
    await eventually('the first are being changed', async () => adopted.length === 8);
    for (const each of ['gone0', 'gone9']) await handle.signal(forgetDatabase, each);
    const known = async () => (await handle.query(planStatus)).discovery;
    await eventually('both are forgotten', async () => (await known())?.members.length === 8);
    goOn();
    await eventually('the look has ended', async () => (await known())?.generation === 0);
    const names = (await known())?.members.map(({ database }) => database);
    expect(adopted).not.toContain('gone9');
    expect(names).toContain('gone1');
    expect(names).not.toContain('gone0');
    expect(names).not.toContain('gone9');
  };
  await withFleet('forgetful', activities, body, { discovery });
});

test('a plan whose database came back is not removed as one that is gone; where one was, its database is found anew', async () => {
  const real = createActivities(bench.client);
  const activities: Partial<Activities> = {
    listDatabases: async () => listing(['orders']),
    adoptPlan: ({ backup: _, ...input }) => real.activities.adoptPlan(input),
    http: async () => ({ status: 200 }),
  };
  await withFleet('back', activities, async (handle) => {
    const isMember = async () => {
      const { discovery } = await handle.query(planStatus);
      return discovery?.members.length === 1;
    };
    await eventually('orders is a plan', isMember);
    await expect(removeGone(bench.client, 'back-orders')).rejects.toMatchObject({
      code: 'DATABASE_IS_BACK',
      message: expect.stringContaining('back-orders'),
    });
    const member = bench.client.workflow.getHandle(planWorkflowId('back-orders'));
    const runOf = async () => (await member.describe()).runId;
    const before = await runOf();
    // It came back only after `apply` had looked.
    await handle.signal(forgetDatabase, 'orders');
    await removeEntity(bench.client, 'back-orders');
    await eventually('it is a plan again', async () => (await runOf()) !== before);
    await eventually('and known', isMember);
    await member.terminate();
  });
  await real.close();
});

test('thousands of databases that can’t be plans don’t fill what an entity can carry: the first are named, and how many more there are', async () => {
  const listDatabases = async () => listing(Array.from({ length: 5_000 }, (_, index) => `Tenant${index}`));
  await withFleet('shouting', { listDatabases }, async (handle) => {
    await eventually('it has looked', async () => {
      const { discovery } = await handle.query(planStatus);
      return discovery !== undefined;
    });
    const { discovery } = await handle.query(planStatus);
    expect(discovery?.refused).toHaveLength(100);
    expect(discovery?.moreRefused).toBe(4_900);
  });
});

test('a worker with one slot makes plans of many databases: none waits for what the next activity has to do', async () => {
  const real = createActivities(bench.client);
  const activities: Partial<Activities> = {
    listDatabases: async () => listing(['one', 'three', 'two']),
    // The plans of the test make no backup.
    adoptPlan: ({ backup: _, ...input }) => real.activities.adoptPlan(input),
  };
  const body = async (handle: ReturnType<Bench['client']['workflow']['getHandle']>) => {
    await eventually('the look has ended', async () => {
      const { discovery } = await handle.query(planStatus);
      return discovery !== undefined;
    });
    const { discovery } = await handle.query(planStatus);
    expect(discovery?.refused).toEqual([]);
    expect(discovery?.members.map(({ database }) => database).sort()).toEqual(['one', 'three', 'two']);
    const member = bench.client.workflow.getHandle(planWorkflowId('narrow-two'));
    await eventually('it has looked at storage, after its schedules', async () => {
      const { survey } = await member.query(planStatus);
      return survey !== null;
    });
    // Of the plan that found them there are no metrics: it has no backup, and an alarm about that would never end.
    const unread = async () => Promise.reject(new Error('no repository is read here'));
    const measured = planSources(bench.client, { catalogueOf: unread, archiveOf: unread });
    const names = async () => (await measured.plans()).map(({ plan }) => plan);
    await eventually('metrics know them', async () => (await names()).length >= 3);
    expect(await names()).toEqual(['narrow-one', 'narrow-three', 'narrow-two']);
  };
  await withFleet('narrow', activities, body, { slots: 1 });
  await real.close();
});

test('a plan that is paused looks for no database until it is resumed', async () => {
  let looks = 0;
  const activities: Partial<Activities> = {
    listDatabases: async () => {
      looks += 1;
      return listing([]);
    },
  };
  await withFleet('still', activities, async (handle) => {
    await eventually('it has looked', async () => looks >= 2);
    await handle.executeUpdate(personsUpdate('pause'), { args: [{}] });
    await eventually('schedules are paused', async () => (await handle.query(planStatus)).paused !== null);
    const before = looks;
    await new Promise((resolve) => setTimeout(resolve, 5 * EVERY_MS));
    // One look may have been under way.
    expect(looks).toBeLessThanOrEqual(before + 1);
    await handle.executeUpdate(personsUpdate('resume'), { args: [{}] });
    await eventually('it looks again', async () => looks > before + 1);
  });
});

test('what one look alone misses is not gone, nor is anything where the server has nothing at all; a second look an interval later decides', async () => {
  let looks = 0;
  const gone: (string | undefined)[] = [];
  const told: string[] = [];
  const answers = [['crm', 'orders'], ['crm'], ['crm', 'orders'], [], [], [], ['crm'], ['crm']];
  const activities: Partial<Activities> = {
    listDatabases: async () => listing(answers[looks++] ?? ['crm']),
    adoptPlan: async ({ application }: AdoptInput) => {
      const { database, goneSince } = application.revision.plan.discovered ?? {};
      if (goneSince !== undefined) gone.push(`${database} at look ${looks}`);
    },
    http: async ({ body }) => {
      told.push(typeof body === 'string' ? body : String(body.type));
      return { status: 200 };
    },
  };
  await withFleet('patient', activities, async (handle) => {
    await eventually('it looks at the empty server', async () => {
      const { discovery } = await handle.query(planStatus);
      return discovery?.failure?.includes('where 2 were plans of patient') === true;
    });
    await eventually('one is gone', async () => gone.length > 0);
    expect(gone).toEqual(['orders at look 8']);
    await eventually('it is told', async () => told.includes('discover.vanished'));
    expect(told).toEqual(['discover.found', 'discover.failed', 'discover.vanished']);
  });
});

test('a change of a plan with many databases reaches them in many small looks: none fills a history, and requests come between', async () => {
  const names = Array.from({ length: 230 }, (_, index) => `tenant${String(index).padStart(3, '0')}`);
  const adopted: string[] = [];
  const before: number[] = [];
  const activities: Partial<Activities> = {
    listDatabases: async () => {
      before.push(adopted.length);
      return listing(names);
    },
    adoptPlan: async ({ application }: AdoptInput) => {
      const { database = '' } = application.revision.plan.discovered ?? {};
      adopted.push(database);
      if (database === names[3]) throw ApplicationFailure.nonRetryable('taken', 'PLAN_NAME_TAKEN');
    },
    http: async () => ({ status: 200 }),
  };
  const members = names.map((database) => ({ database, inLineWith: -1 }));
  const discovery = { at: new Date().toISOString(), generation: -1, members, refused: [] };
  const body = async (handle: ReturnType<Bench['client']['workflow']['getHandle']>) => {
    const { runId } = await handle.describe();
    await eventually('all had their turn', async () => {
      const seen = await handle.query(planStatus);
      return seen.discovery?.members.filter(({ inLineWith }) => inLineWith === 0).length === names.length - 1;
    });
    const ofEach = before.map((count, look) => (before[look + 1] ?? adopted.length) - count);
    expect(Math.max(...ofEach)).toBeLessThanOrEqual(APPLIED_AT_ONCE);
    expect(adopted.slice(0, names.length).toSorted()).toEqual(names);
    const { refused, goesOn } = (await handle.query(planStatus)).discovery ?? {};
    expect(refused).toEqual([{ database: names[3], reason: 'taken' }]);
    expect(goesOn).toBeUndefined();
    // The entity began anew between the looks, so that no run holds the history of them all.
    expect((await handle.describe()).runId).not.toBe(runId);
    expect((await handle.fetchHistory()).events?.length).toBeLessThan(1_000);
  };
  await withFleet('wide', activities, body, { discovery, historyEvents: 300 });
});
