import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { RecoveryDecision } from '../../model/recovery.ts';
import type { PlanSurvey } from '../../model/survey.ts';
import { newPlanState, PlanEntity, type Work } from '../../workflows/plan-entity.ts';
import { PERSONS_MESSAGES, type PlanState, type RunReport } from '../../workflows/plan-messages.ts';
import { renderPlan } from '../../workflows/plan-page.ts';
import { Refused } from '../../workflows/plan-request-reading.ts';
import { carryOut as carryOutWork, ScheduleKeeper } from '../../workflows/plan-work.ts';
import { CAPTURE, pipelineOf } from './scripted-worker.ts';

/** The logic of a plan's entity, without Temporal. */
const compiled: CompiledPlan = { name: 'orders', file: 'plans/orders.yaml', pipeline: pipelineOf(CAPTURE) };
const NOW = '2026-11-24T10:00:00.000Z';

class Clock {
  ms = Date.parse(NOW);
  private count = 0;
  now = (): Date => new Date(this.ms);
  digits = (length: number): string => String(++this.count).padStart(length, '0');
}

const SURVEY: PlanSurvey = {
  ...{ readAt: NOW, repositoryId: 'r-1', backups: 2, unusable: 0, storedBytes: 1_000, schedules: [] },
  window: {
    instants: [
      { at: '2026-11-23T02:00:00.000Z', backup: 'b1', verified: true },
      { at: '2026-11-24T02:00:00.000Z', backup: 'b2', verified: false },
    ],
    ranges: [],
  },
  lastGood: { backup: 'b1', instant: '2026-11-23T02:00:00.000Z', level: 'checksums', at: NOW },
};

const DECISION: RecoveryDecision = {
  ...{ kind: 'restore', way: 'backup', backup: 'b2', instant: '2026-11-24T02:00:00.000Z', notes: [] },
  ...{
    cost: { rows: 3, bytes: 300, storedBytes: 100, estimatedMs: 60_000, basis: 'by one earlier restore' },
  },
  ...{ lost: { from: '2026-11-24T02:00:00.000Z', to: NOW, durationMs: 28_800_000 }, why: 'it is the newest' },
};

function entityOf(changes: Partial<PlanState> = {}, plan = compiled) {
  const clock = new Clock();
  const state = {
    ...newPlanState({ plan, set: 'default', taskQueue: 'q' }, NOW),
    schedulesOf: 0,
    ...changes,
  };
  const entity = new PlanEntity(state, clock, clock, {
    joinsBases: true,
    followsArchive: true,
    failuresWait: true,
    rowsAsk: () => true,
  });
  if (changes.survey === undefined) entity.surveyed(SURVEY);
  return { entity, clock };
}

const workOf = (entity: PlanEntity): Work['do'] | undefined => entity.nextWork()?.do;
const refusalOf = (act: () => unknown): Refused => {
  try {
    act();
  } catch (error) {
    if (error instanceof Refused) return error;
    throw error;
  }
  throw new Error('nothing was refused');
};

const report = (workflowId: string, changes: Partial<RunReport> = {}): RunReport => ({
  ...{ kind: 'backup', id: 'x', workflowId, state: 'running', headline: 'upload is running', startedAt: NOW },
  ...changes,
});

/** Does what there is to do as the workflow would, until nothing is left; returns the inputs of the runs it started. */
function carryOut(entity: PlanEntity): Work[] {
  const starts: Work[] = [];
  for (let work = entity.nextWork(); work !== undefined; work = entity.nextWork()) {
    if (work.do === 'decide') entity.decided(work.request, DECISION, ['orders']);
    else if (work.do === 'survey') entity.surveyed(SURVEY);
    else if (work.do === 'backup' || work.do === 'restore') {
      starts.push(work);
      entity.started(work.request);
    } else if (work.do === 'cancel') entity.cancelled(work.workflowId);
    else break;
  }
  return starts;
}

test('a backup is started once, however often it is asked for while it waits, and its end closes the request', () => {
  const { entity } = entityOf();
  const first = entity.receive('backup', {});
  expect(entity.receive('backup', undefined)).toMatchObject({ outcome: 'known', requestId: first.requestId });
  const [work] = carryOut(entity);
  expect(work).toMatchObject({ do: 'backup', input: { backup: first.requestId } });
  entity.reported(report(first.workflowId ?? ''));
  expect(entity.receive('backup', {})).toMatchObject({ outcome: 'accepted' });
  expect(carryOut(entity)).toEqual([]);
  entity.reported(report(first.workflowId ?? '', { state: 'done', headline: 'complete', endedAt: NOW }));
  expect(entity.status.closed).toMatchObject([{ requestId: first.requestId, outcome: 'done' }]);
  expect(carryOut(entity)).toHaveLength(1);
});

test('a safety backup, of what a restore overwrites, is not the last backup that status shows', () => {
  const { entity } = entityOf();
  const ended = { state: 'done', headline: 'complete', endedAt: NOW } as const;
  entity.reported(report('backup:orders:b1', { ...ended, id: '20261124T020000Z-ab12cd' }));
  entity.reported(report('backup:orders:b2', { ...ended, id: '20261124T100000Z-safety-ab12cd' }));
  expect(entity.status.lastBackup?.workflowId).toBe('backup:orders:b1');
});

test('bases that an archive of changes asks for, one for each database, count as one while it waits', () => {
  const { entity } = entityOf();
  const first = entity.receive('backup', { requestId: 'archive-one' });
  expect(entity.receive('backup', { requestId: 'archive-two' })).toMatchObject({
    outcome: 'known',
    requestId: first.requestId,
  });
  carryOut(entity);
  // It may have read another database before that one's timeline began.
  expect(entity.receive('backup', { requestId: 'archive-three' })).toMatchObject({ outcome: 'accepted' });
  expect(entity.receive('backup', { requestId: 'archive-two' })).toMatchObject({ outcome: 'known' });
  expect(entity.receive('backup', { requestId: 'by-hand' })).toMatchObject({ outcome: 'accepted' });

  const clock = new Clock();
  const earlier = new PlanEntity(
    { ...newPlanState({ plan: compiled, set: 'default', taskQueue: 'q' }, NOW), schedulesOf: 0 },
    clock,
    clock,
  );
  earlier.receive('backup', { requestId: 'archive-one' });
  expect(earlier.receive('backup', { requestId: 'archive-two' })).toMatchObject({ outcome: 'accepted' });
});

test('a plan with an archive of changes reads its repository every five minutes, another one every hour', () => {
  const archive = { lagMs: 5_000, segmentBytes: 1, retentionMs: 1, maxSourceLagBytes: 1 };
  for (const [plan, minutes] of [
    [compiled, 60],
    [{ ...compiled, pointTime: { archive } }, 5],
  ] as const) {
    const { entity, clock } = entityOf({}, plan);
    expect(carryOut(entity)).toEqual([]);
    expect(entity.wakeAfterMs).toBe(minutes * 60_000);
    clock.ms += minutes * 60_000 - 1;
    expect(workOf(entity)).toBeUndefined();
    clock.ms += 1;
    expect(workOf(entity)).toBe('survey');
  }
});

test('a backup waits for one that a schedule has started', () => {
  const { entity } = entityOf();
  entity.reported(report('backup:orders-2026-11-24T10:00:00Z'));
  entity.receive('backup', {});
  expect(carryOut(entity)).toEqual([]);
  entity.reported(report('backup:orders-2026-11-24T10:00:00Z', { state: 'done' }));
  expect(carryOut(entity)).toHaveLength(1);
});

test('a request id acts once, also after its run has ended and the entity went on in a new run', () => {
  const { entity, clock } = entityOf();
  entity.receive('restore', { to: '-1h', requestId: 'r-1' });
  const [work] = carryOut(entity);
  if (work?.do !== 'restore') throw new Error('no restore was started');
  expect(entity.receive('restore', { requestId: 'r-1' }).outcome).toBe('known');
  entity.reported(
    report(work.request.run.workflowId, { kind: 'restore', state: 'failed', headline: 'FAILED' }),
  );
  const next = new PlanEntity(JSON.parse(JSON.stringify(entity.state)) as PlanState, clock, clock);
  expect(next.receive('restore', { requestId: 'r-1' })).toMatchObject({ outcome: 'known', told: 'FAILED' });
  expect(carryOut(next)).toEqual([]);
});

describe('an overwriting restore', () => {
  test('waits for approval, says what it would do, then saves first what is there', () => {
    const { entity } = entityOf();
    const { requestId } = entity.receive('restore', { replace: true });
    expect(carryOut(entity)).toEqual([]);
    const page = renderPlan(entity.status, new Date(NOW));
    expect(page).toContain(`approve\` \`{"requestId": "${requestId}"}\``);
    expect(page).toMatch(/Backup b2 gives the data of 2026-11-24T02:00:00.000Z/);
    expect(page).toMatch(/3 rows, 300 B, 100 B to fetch; about 1 min 00 s, by one earlier restore/);
    expect(page).toMatch(/lost if it replaces the database/);
    entity.receive('approve', {});
    const [work] = carryOut(entity);
    expect(work).toMatchObject({
      do: 'restore',
      input: {
        replace: true,
        from: { backup: 'b2' },
        safetyBackup: { backup: expect.stringContaining('-safety-') },
      },
    });
  });

  test.each([
    ['the request', { replace: true, safetyBackup: false }, undefined],
    ['the plan', { replace: true }, { approval: 'required', safetyBackup: false } as const],
  ])('saves nothing where %s says no', (_who, wish, restore) => {
    const { entity } = entityOf({}, { ...compiled, ...(restore && { restore }) });
    entity.receive('restore', wish);
    carryOut(entity);
    entity.receive('approve', {});
    const [work] = carryOut(entity);
    expect(work?.do === 'restore' && work.input.safetyBackup).toBeUndefined();
  });

  test('needs no approval where the plan says none', () => {
    const { entity } = entityOf({}, { ...compiled, restore: { approval: 'none', safetyBackup: true } });
    entity.receive('restore', { replace: true });
    expect(carryOut(entity)).toHaveLength(1);
  });

  test.each([
    ['beside the original', { into: 'look' }],
    ['in its place', { replace: true }],
  ])('that asks for approval itself waits for it, also %s and where the plan says none', (_where, wish) => {
    const { entity } = entityOf({}, { ...compiled, restore: { approval: 'none', safetyBackup: true } });
    entity.receive('restore', { ...wish, approval: 'required', reason: 'a `look`\nby an agent' });
    expect(carryOut(entity)).toEqual([]);
    expect(entity.status.requests).toMatchObject([{ state: 'awaiting-approval' }]);
    // Whoever approves reads what for, on one line, whatever stands in the text.
    expect(renderPlan(entity.status, new Date(NOW))).toMatch(/reason: "a 'look'\\nby an agent"/);
    entity.receive('approve', {});
    expect(carryOut(entity)).toMatchObject([{ do: 'restore' }]);
  });

  const ROWS = { contents: 'data' } as const;

  test.each([
    ['the databases themselves', { options: ROWS }, 'awaiting-approval'],
    ['a database by its own name', { options: ROWS, into: 'orders' }, 'awaiting-approval'],
    ['another database of the plan', { options: ROWS, into: { crm: 'orders' } }, 'awaiting-approval'],
    // They go into databases that are there, whosever these are.
    ['databases beside', { options: ROWS, into: { orders: 'payroll', crm: 'look' } }, 'awaiting-approval'],
    ['a new database, with its schema', { options: { contents: 'all' } }, 'ready'],
  ] as const)('is one of rows alone too: into %s', (_where, wish, state) => {
    const { entity } = entityOf();
    entity.receive('restore', wish);
    const [request] = entity.status.requests;
    if (request === undefined) throw new Error('it was not taken');
    entity.decided(
      request,
      DECISION,
      'into' in wish && wish.into === 'orders' ? ['orders'] : ['orders', 'crm'],
    );
    expect(entity.status.requests).toMatchObject([{ state }]);
  });

  test('of rows alone needs no approval where the plan says none, nor in a run that an older release began', () => {
    const { entity, clock } = entityOf(
      {},
      { ...compiled, restore: { approval: 'none', safetyBackup: true } },
    );
    const earlier = new PlanEntity(entityOf().entity.state, clock, clock, { failuresWait: true });
    for (const each of [entity, earlier]) {
      each.receive('restore', { options: ROWS });
      expect(carryOut(each)).toMatchObject([{ do: 'restore', input: { contents: 'data', replace: false } }]);
    }
  });

  test('runs one at a time', () => {
    const { entity } = entityOf({}, { ...compiled, restore: { approval: 'none', safetyBackup: true } });
    entity.receive('restore', { replace: true, requestId: 'a' });
    entity.receive('restore', { replace: true, requestId: 'b' });
    expect(carryOut(entity)).toHaveLength(1);
  });

  test('can be cancelled before it begins', () => {
    const { entity } = entityOf();
    entity.receive('restore', { replace: true });
    carryOut(entity);
    entity.receive('cancel', {});
    expect(entity.status).toMatchObject({ requests: [], closed: [{ outcome: 'cancelled' }] });
    expect(refusalOf(() => entity.receive('approve', {})).refusal.reason).toBe('nothing waits for approval');
  });
});

test.each<[string, Parameters<PlanEntity['receive']>[0], unknown, RegExp]>([
  ['a text', 'restore', 'now!', /no JSON object/],
  ['a list', 'backup', [1], /no JSON object/],
  ['a number', 'pause', 7, /no JSON object/],
  ['an unknown member', 'restore', { too: '2026-11-24T02:00:00Z' }, /not known/],
  ['an unknown member of a small one', 'backup', { now: true }, /not known/],
  ['a wrong type', 'restore', { replace: 'yes' }, /replace/],
  ['an empty id', 'cancel', { requestId: '' }, /requestId/],
  ['something nobody waits for', 'approve', { requestId: 'r-9' }, /no request r-9 waits for approval/],
  ['a huge text', 'pause', { reason: 'x'.repeat(100_000) }, /reason/],
])('%s is refused with its reason, recorded and shown', (_what, message, argument, reason) => {
  const { entity } = entityOf();
  const { refusal } = refusalOf(() => entity.receive(message, argument));
  expect(refusal.reason).toMatch(reason);
  expect(refusal.remedy).not.toBe('');
  entity.refuse(message, refusal);
  expect(entity.status.refused).toMatchObject({ count: 1, last: [{ message }] });
  expect(renderPlan(entity.status, new Date(NOW))).toContain('Refused (1 in all)');
});

test('an impossible instant is refused with the nearest ones on both sides, ready to be pasted', () => {
  const { entity } = entityOf();
  entity.receive('restore', { to: '2026-11-23T12:00:00Z' });
  const work = entity.nextWork();
  if (work?.do !== 'decide') throw new Error('nothing to decide');
  entity.decided(work.request, {
    ...{
      kind: 'refused',
      code: 'INSTANT_NOT_EXACT',
      reason: 'nothing holds it',
      remedy: 'Ask for one.',
      notes: [],
    },
    ...{ before: '2026-11-23T02:00:00.000Z', after: '2026-11-24T02:00:00.000Z' },
  });
  expect(entity.status).toMatchObject({
    requests: [],
    closed: [{ outcome: 'refused' }],
    refused: { count: 1 },
  });
  const page = renderPlan(entity.status, new Date(NOW));
  expect(page).toContain('{"to": "2026-11-23T02:00:00.000Z"}');
  expect(page).toContain('{"to": "2026-11-24T02:00:00.000Z"}');
});

test('every signal of docs/operations.md is taken as it stands there', async () => {
  const guide = await readFile(path.resolve(__dirname, '..', '..', 'docs', 'operations.md'), 'utf8');
  const signals = Array.from(guide.matchAll(/^Signal: `(\w+)` with `(\{.*\})`/gm), ([, name, json]) => ({
    name: PERSONS_MESSAGES.find((each) => each === name),
    argument: JSON.parse(json ?? '') as object,
  }));
  expect(signals.map(({ name }) => name)).toEqual([
    'pause',
    'restore',
    'restore',
    'restore',
    'approve',
    'cancel',
  ]);
  for (const { name, argument } of signals) {
    const { entity } = entityOf();
    if (name === 'approve' || name === 'cancel') {
      entity.receive('restore', { replace: true });
      carryOut(entity);
    }
    if (name !== undefined) expect(entity.receive(name, argument).outcome).toBe('accepted');
  }
});

test('a flood of requests is bounded, and so is what is remembered of it', () => {
  const { entity } = entityOf();
  let refused = 0;
  for (let index = 0; index < 5_000; index++) {
    try {
      entity.receive('backup', { requestId: `r-${index}` });
    } catch (error) {
      entity.refuse('backup', (error as Refused).refusal);
      refused += 1;
    }
    const [work] = carryOut(entity);
    if (work?.do === 'backup' && index % 2 === 0) {
      entity.reported(report(work.request.run.workflowId, { state: 'done', headline: 'complete' }));
    }
  }
  expect(entity.status.refused.count).toBe(refused);
  expect(JSON.stringify(entity.state).length).toBeLessThan(100_000);
  expect(renderPlan(entity.status, new Date(NOW)).length).toBeLessThan(20_000);
});

test('a run that was terminated is noticed, and its request closed', () => {
  const { entity, clock } = entityOf();
  const { workflowId = '' } = entity.receive('backup', {});
  carryOut(entity);
  entity.reported(report(workflowId));
  carryOut(entity);
  clock.ms += entity.wakeAfterMs;
  expect(entity.nextWork()).toEqual({ do: 'look', workflowIds: [workflowId] });
  entity.looked([{ workflowId, ending: 'TERMINATED' }]);
  expect(entity.status).toMatchObject({
    running: [],
    closed: [{ outcome: 'failed', told: expect.stringContaining('TERMINATED') }],
  });
});

test('pause and resume are a matter for the schedules, and requests of people act meanwhile', () => {
  const { entity } = entityOf();
  entity.receive('pause', { reason: 'migration' });
  expect(workOf(entity)).toBe('schedules');
  entity.schedulesReconciled(entity.state.generation);
  expect(entity.status.paused).toMatchObject({ reason: 'migration' });
  entity.receive('backup', {});
  expect(carryOut(entity)).toHaveLength(1);
  entity.receive('resume', {});
  expect(entity.status.paused).toBeNull();
  expect(workOf(entity)).toBe('schedules');
});

test('of two applies that were computed against the same state the second is refused', () => {
  const { entity } = entityOf();
  const revision = { plan: compiled, set: 'default', taskQueue: 'q' };
  entity.apply({ revision, after: 0, keepPauses: true });
  entity.apply({ revision, after: 1, keepPauses: true });
  expect(
    refusalOf(() => entity.checkApplication({ revision, after: 1, keepPauses: true })).refusal.code,
  ).toBe('APPLIED_MEANWHILE');
  entity.checkApplication({ revision, after: 2, keepPauses: true });
});

test('what is checked leaves nothing behind, and draws nothing: the id chosen next is what it would have been', () => {
  const idAfter = (checks: number) => {
    const { entity } = entityOf();
    for (let count = 0; count < checks; count++) {
      entity.check('backup', {});
      entity.check('restore', { replace: true });
    }
    return entity.receive('backup', {}).workflowId;
  };
  expect(idAfter(3)).toBe(idAfter(0));
});

test('a repository that is another one, or has vanished, is told once each, and shown until it is the old one again', () => {
  const { entity, clock } = entityOf();
  const { repositoryId: _, ...vanished } = SURVEY;
  for (const survey of [{ ...SURVEY, repositoryId: 'r-2' }, vanished, vanished]) entity.surveyed(survey);
  expect(entity.status.refused.last.map(({ reason }) => reason)).toEqual([
    'the repository r-1 has vanished from its place',
    'the repository is another one: its id is r-2, and was r-1',
  ]);
  expect(renderPlan(entity.status, clock.now())).toContain('⚠ the repository r-1 has vanished');
  entity.surveyed(SURVEY);
  expect(entity.status).toMatchObject({ strangeRepository: null, refused: { count: 2 } });
});

test('a plan that is applied to another place, or to what is there now, belongs to the repository found there', () => {
  const elsewhere = { name: 'main', location: { kind: 'directory', path: '/elsewhere' } } as const;
  const moved = { ...compiled, pipeline: { ...compiled.pipeline, repository: elsewhere } };
  for (const [plan, newRepository] of [
    [moved, false],
    [compiled, true],
  ] as const) {
    const { entity } = entityOf();
    const revision = { plan, set: 'default', taskQueue: 'q' };
    entity.apply({ revision, after: 0, keepPauses: true, newRepository });
    // A look that began before tells of the place of before.
    entity.surveyed(SURVEY, 0);
    expect(entity.status.survey).toBeNull();
    entity.surveyed({ ...SURVEY, repositoryId: 'r-2' });
    expect(entity.status).toMatchObject({
      repositoryId: 'r-2',
      strangeRepository: null,
      refused: { count: 0 },
    });
  }
});

test('a removed plan waits for its schedules to go, and begins nothing any more', () => {
  const { entity } = entityOf();
  entity.receive('restore', { replace: true });
  carryOut(entity);
  const generation = entity.remove();
  expect(refusalOf(() => entity.receive('backup', {})).refusal.code).toBe('PLAN_REMOVED');
  expect([entity.isOver, workOf(entity)]).toEqual([false, 'schedules']);
  entity.schedulesReconciled(generation);
  expect([entity.isOver, workOf(entity)]).toEqual([true, undefined]);
  expect(entity.status.closed).toMatchObject([{ outcome: 'cancelled' }]);
});

test('a removed plan with `discover` looks for no database, and wakes only when its schedules are tried again', () => {
  const { entity, clock } = entityOf({}, { ...compiled, discover: { everyMs: 60_000 } });
  entity.remove();
  entity.schedulesFailed();
  expect(workOf(entity)).toBeUndefined();
  expect(entity.wakeAfterMs).toBe(60_000);
  clock.ms += entity.wakeAfterMs;
  expect(workOf(entity)).toBe('schedules');
});

describe('acts by signals', () => {
  const by = 'alice@example.com, by a signal';

  test('are written to the log after what they asked for has begun, since storage may be down', () => {
    const { entity } = entityOf();
    entity.noteAct('restore', entity.receive('restore', { replace: true }), { by });
    expect(workOf(entity)).toBe('decide');
    carryOut(entity);
    entity.noteAct('approve', entity.receive('approve', {}), { by });
    expect(carryOut(entity).map((work) => work.do)).toEqual(['restore']);
    expect(entity.nextWork()).toMatchObject({ do: 'record', act: { action: 'restore', by } });
    entity.recorded();
    expect(entity.nextWork()).toMatchObject({ do: 'record', act: { action: 'approve', by } });
    entity.recorded();
    expect(workOf(entity)).not.toBe('record');
  });

  test('are never pushed out of the log by many that come later: those are told', () => {
    const { entity } = entityOf();
    entity.noteAct('restore', entity.receive('restore', { replace: true }), { by });
    const before = entity.status.refused.count;
    for (let count = 0; count < 101; count += 1) {
      const message = count % 2 === 0 ? 'pause' : 'resume';
      entity.noteAct(message, entity.receive(message, {}), { by });
    }
    expect(entity.state.acts).toHaveLength(100);
    expect(entity.state.acts?.[0]).toMatchObject({ action: 'restore' });
    expect(entity.status.refused.count - before).toBe(2);
    expect(entity.status.refused.last[0]).toMatchObject({ code: 'AUDIT_BUSY' });
  });
});

describe('a piece of work that fails', () => {
  test('holds up nothing else, and is not tried again and again without a pause', async () => {
    const { entity, clock } = entityOf();
    const { generation } = entity.state;
    // A universe that is down keeps the schedules of its history from being written, while people want to restore.
    entity.receive('pause', {});
    await carryOutWork(entity, workNow(entity), new ScheduleKeeper());
    entity.receive('restore', {});
    expect(workOf(entity)).toBe('decide');
    await carryOutWork(entity, workNow(entity), new ScheduleKeeper());
    expect(entity.status.closed).toMatchObject([{ outcome: 'refused' }]);
    await carryOutWork(entity, { do: 'survey' }, new ScheduleKeeper());
    expect(workOf(entity)).toBeUndefined();
    expect(entity.wakeAfterMs).toBeLessThanOrEqual(60_000);
    clock.ms += entity.wakeAfterMs;
    expect(entity.nextWork()).toEqual({ do: 'schedules', generation: generation + 1 });
    // A change of the plan is not kept waiting.
    entity.schedulesFailed();
    entity.receive('resume', {});
    expect(workOf(entity)).toBe('schedules');
  });

  test('is a look at storage: it waits its hour, also where the last good one is older', () => {
    const { entity, clock } = entityOf();
    clock.ms += 2 * 3_600_000;
    expect(workOf(entity)).toBe('survey');
    entity.surveyFailed('the bucket says no');
    expect(workOf(entity)).toBeUndefined();
    clock.ms += 3_600_000;
    expect(workOf(entity)).toBe('survey');
  });

  test('is a look at runs: the entity lives on, and looks again later', async () => {
    const { entity, clock } = entityOf();
    entity.reported(report('backup:orders:x'));
    carryOut(entity);
    clock.ms += entity.wakeAfterMs;
    expect(workOf(entity)).toBe('look');
    await carryOutWork(entity, workNow(entity), new ScheduleKeeper());
    expect(workOf(entity)).toBeUndefined();
    clock.ms += entity.wakeAfterMs;
    expect(workOf(entity)).toBe('look');
  });
});

/** Nothing that is asked of a worker can be had here, outside of Temporal: every such piece of work fails. */
function workNow(entity: PlanEntity): Work {
  const work = entity.nextWork();
  if (work === undefined) throw new Error('there is nothing to do');
  return work;
}

test.each([
  [{ options: { taskQueue: 5 } }, 'options.taskQueue'],
  [{ options: { replace: true } }, 'options.replace'],
  [{ options: { excludeTables: 'a' } }, 'options.excludeTables'],
  [{ options: null }, 'options'],
  [{ options: { connection: {} } }, 'options.connection'],
  [{ requestId: 'r'.repeat(201) }, 'requestId'],
  [{ tables: Array.from({ length: 60_000 }, (_, index) => `public.t${index}`) }, 'too large'],
])('a restore that would bring the entity or its approval down is refused: %#', (wish, what) => {
  const { entity } = entityOf();
  const { refusal } = refusalOf(() => entity.receive('restore', wish));
  expect(refusal.code).toBe('BAD_REQUEST');
  expect(refusal.reason).toContain(what);
});

test('a run that an older release began takes what that release took, so that its history replays, and no unknown option reaches a restore', () => {
  const clock = new Clock();
  const state = { ...newPlanState({ plan: compiled, set: 'default', taskQueue: 'q' }, NOW), schedulesOf: 0 };
  const entity = new PlanEntity(state, clock, clock, { takesAnyRequest: true });
  entity.surveyed(SURVEY);
  const wish = { reason: 'r'.repeat(300), options: { replace: true, parallelism: 3 } };
  // What comes by an update now is checked before it is in the history.
  expect(refusalOf(() => entity.check('restore', wish)).refusal.code).toBe('BAD_REQUEST');
  entity.receive('restore', wish);
  expect(carryOut(entity)).toMatchObject([{ do: 'restore', input: { replace: false, parallelism: 3 } }]);
});

test('requests that wait are bounded together, as Temporal bounds what an entity can carry into its next run', () => {
  const { entity } = entityOf();
  const tables = Array.from({ length: 5_000 }, (_, index) => `public.table_${index}`);
  const refused = Array.from({ length: 20 }, () => {
    try {
      entity.receive('restore', { tables, approval: 'required' });
      return 0;
    } catch {
      return 1;
    }
  });
  expect(refused[0]).toBe(0);
  expect(JSON.stringify(entity.state).length).toBeLessThan(1_000_000);
});
