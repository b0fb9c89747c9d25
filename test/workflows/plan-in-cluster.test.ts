import type { CompiledPlan } from '../../model/pipeline.ts';
import type { RecoveryDecision } from '../../model/recovery.ts';
import { newPlanState, PlanEntity } from '../../workflows/plan-entity.ts';
import { CAPTURE, pipelineOf, UNIVERSE_SOURCE } from './scripted-worker.ts';

/** The entity of a plan whose universe keeps history: which run a restore becomes. */
const NOW = '2026-11-24T10:00:00.000Z';
const INSTANT = '2026-11-24T09:00:00.000Z';

const PLAN: CompiledPlan = {
  name: 'orders',
  file: 'plans/orders.yaml',
  pipeline: { ...pipelineOf(CAPTURE), source: UNIVERSE_SOURCE },
  pointTime: { inCluster: { intervalMs: 3_600_000, retentionMs: 86_400_000, adopt: false } },
};

function decisionOf(way: 'rewind' | 'clone'): RecoveryDecision {
  return {
    ...{ kind: 'restore', way, schedule: 's1', instant: INSTANT, why: 'it reaches it', notes: [] },
    lost: { from: INSTANT, to: NOW, durationMs: 3_600_000 },
  };
}

function requested(wish: object, decision: RecoveryDecision): PlanEntity {
  const state = { ...newPlanState({ plan: PLAN, set: 'default', taskQueue: 'q' }, NOW), schedulesOf: 0 };
  const entity = new PlanEntity(
    state,
    { now: () => new Date(NOW) },
    { digits: (count) => '0'.repeat(count) },
  );
  entity.receive('restore', wish);
  const work = entity.nextWork();
  if (work?.do !== 'decide') throw new Error(`there was ${work?.do} to do`);
  entity.decided(work.request, decision, ['orders']);
  return entity;
}

test('a rewind waits for approval, keeps what is there unless told not to, and goes on under its own name', () => {
  const entity = requested({ to: INSTANT, replace: true }, decisionOf('rewind'));
  expect(entity.status.requests).toMatchObject([{ state: 'awaiting-approval' }]);
  expect(entity.nextWork()?.do).not.toBe('goBack');
  entity.receive('approve', {});
  expect(entity.nextWork()).toMatchObject({
    do: 'goBack',
    input: {
      way: 'rewind',
      instant: INSTANT,
      databases: [{ from: 'orders', to: 'orders' }],
      safetySnapshot: true,
    },
  });
  const careless = requested({ to: INSTANT, replace: true, safetyBackup: false }, decisionOf('rewind'));
  careless.receive('approve', {});
  expect(careless.nextWork()).toMatchObject({ do: 'goBack', input: { safetySnapshot: false } });
});

test('a clone waits for nobody, and has the name that was asked for, or one of its own', () => {
  expect(requested({ to: INSTANT, into: 'orders_then' }, decisionOf('clone')).nextWork()).toMatchObject({
    do: 'goBack',
    input: { way: 'clone', databases: [{ from: 'orders', to: 'orders_then' }], safetySnapshot: false },
  });
  expect(requested({ to: INSTANT }, decisionOf('clone')).nextWork()).toMatchObject({
    do: 'goBack',
    input: { databases: [{ from: 'orders', to: expect.stringMatching(/^orders_restored_/) }] },
  });
});

test('an instant that a backup carries becomes a restore of that backup, to the instant', () => {
  const cost = { storedBytes: 1, bytes: 1, rows: null, basis: 'nothing measured' };
  const decision: RecoveryDecision = {
    ...{
      kind: 'restore',
      way: 'snapshot',
      backup: 'b1',
      instant: INSTANT,
      why: 'it carries it',
      notes: [],
      cost,
    },
    lost: { from: INSTANT, to: NOW, durationMs: 3_600_000 },
  };
  expect(requested({ to: INSTANT, into: 'orders_then' }, decision).nextWork()).toMatchObject({
    do: 'restore',
    input: { at: INSTANT, from: { backup: 'b1' }, into: { orders: 'orders_then' }, replace: false },
  });
  expect(requested({ to: INSTANT, replace: true }, decision).status.requests).toMatchObject([
    { state: 'awaiting-approval' },
  ]);
});
