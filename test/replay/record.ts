import { Context, heartbeat } from '@temporalio/activity';
import { WithStartWorkflowOperation, WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { Activities } from '../../activities/contract.ts';
import type { VerifyReport } from '../../model/backup.ts';
import { READ_POINT_LOST } from '../../model/errors.ts';
import { newPlanState } from '../../workflows/plan-entity.ts';
import {
  applyPlan,
  type PlanStatus,
  personsSignal,
  planStatus,
  planWorkflowId,
  removePlan,
} from '../../workflows/plan-messages.ts';
import { eventually } from '../support/processes.ts';
import {
  type Bench,
  CAPTURE,
  capture,
  pipelineOf,
  READ_POINT_OPENED,
  readPointAt,
  restoring,
  startBench,
} from '../workflows/scripted-worker.ts';
import { saveHistory } from './save-history.ts';

/**
 * `node test/replay/record.ts` records the histories that `replay.test.ts` replays, into `histories/<version>/`. Run it once for
 * each released version, from its own commit, and keep the files: they prove that later workflow code still drives runs
 * that were begun with that version. A recorded file is never replaced: what is there already is left. `record-real.ts` records what scripted activities
 * don't reach.
 */
const bench = await startBench();
try {
  await record('backup-in-two-epochs', 'backup', backupInput('b1', CAPTURE), {
    ...capture(4),
    snapshot: holderThatLosesEpochOne(bench),
    verify,
  });
  await record('backup-of-two-shards', 'backup', backupInput('b2', CAPTURE), {
    ...capture(520),
    verify,
  });
  await record('backup-that-fails', 'backup', backupInput('b3', CAPTURE), {
    ...capture(4),
    upload: async () => {
      throw ApplicationFailure.nonRetryable('There is no bucket x. Create it.', 'STORE_NO_BUCKET');
    },
    http: async () => ({ status: 200 }),
  });
  const { source, repository } = pipelineOf([]);
  const ref = { repository, plan: 'orders', backup: 'b1' };
  const request = {
    ...{ restore: 'r1', from: ref, source, into: {}, replace: false, tables: { include: [], exclude: [] } },
    ...{ contents: 'all', globals: false, check: 'rows', scratch: false, parallelism: 2 },
  };
  await record('restore', 'restore', request, restoring());
  await record(
    'restore-that-fails',
    'restore',
    { ...request, restore: 'r2' },
    {
      ...restoring(),
      load: async () => {
        throw ApplicationFailure.nonRetryable('object x is damaged.', 'STORE_DAMAGED');
      },
    },
  );
  await record(
    'rehearsal',
    'verify',
    { ref, level: 'restore', source },
    {
      ...restoring(),
      recordVerification: async () => undefined,
    },
  );
  const nothing = { deleted: [], deletedBackups: 0, deletedObjects: 0, deletedBytes: 0, inUse: [] };
  const policy = { plan: 'orders', repository, retention: { keepLast: 1 } };
  await record('prune', 'prune', policy, {
    markBackups: async () => ({ backups: 3, kept: 1, marked: ['b3'], unmarked: [], waiting: 1, due: 1 }),
    deleteBackups: async () => ({ ...nothing, deleted: ['b2'], deletedBackups: 1 }),
    sweepOrphans: async () => ({ orphans: [], deletedObjects: 0, deletedBytes: 0, discardedUploads: 0 }),
    endPrune: async () => undefined,
  });
  await record('prune-that-fails', 'prune', policy, {
    markBackups: async () => {
      throw ApplicationFailure.nonRetryable('The clocks differ.', 'CLOCK_OFF');
    },
    endPrune: async () => undefined,
  });
  const notify = [{ kind: 'webhook', url: { env: 'HOOK' }, on: ['success', 'failure', 'drill'] }];
  await record(
    'told-backup',
    'backup',
    { ...backupInput('b4', CAPTURE), notify },
    { ...capture(4), verify, http: async () => ({ status: 200 }) },
  );
  // The notification is still tried when its history is saved.
  await record(
    'told-failure',
    'backup',
    { pipeline: pipelineOf(CAPTURE), backup: 'b5', notify },
    {
      ...capture(4),
      upload: async () => {
        throw ApplicationFailure.nonRetryable('There is no bucket x. Create it.', 'STORE_NO_BUCKET');
      },
      http: async () => {
        throw new Error('the receiver is away');
      },
    },
  );
  const drill = { backup: 'latest', check: 'rows', assertions: [], parallelism: 2, timeoutMs: 3_600_000 };
  await record(
    'told-drill',
    'drill',
    { plan: 'orders', labels: {}, source, repository, drill, backup: 'b1', notify },
    {
      ...restoring(),
      clearRehearsals: async () => ({ cleared: [], problems: [] }),
      recordVerification: async () => undefined,
      http: async () => ({ status: 200 }),
    },
  );
  await recordPlan();
} finally {
  await bench.stop();
}

/** A plan's life: applied, backed up, restored in the original's place after approval, removed; with all that takes part. */
async function recordPlan(): Promise<void> {
  const name = 'recorded';
  const plan = { name, file: 'plans/recorded.yaml', pipeline: { ...pipelineOf(CAPTURE), plan: name } };
  const found = {
    readAt: '2026-11-24T04:00:00.000Z',
    backups: 1,
    unusable: 0,
    storedBytes: 1,
    schedules: [],
  };
  const instant = '2026-11-24T02:00:00.000Z';
  const activities: Partial<Activities> = {
    ...capture(1),
    ...restoring(),
    surveyPlan: async () => ({ ...found, window: { instants: [], ranges: [] } }),
    decideRestore: async () => ({
      databases: ['orders'],
      decision: {
        ...{ kind: 'restore', way: 'backup', backup: 'b1', instant, why: 'it is the newest', notes: [] },
        cost: { rows: 1, bytes: 1, storedBytes: 1, basis: 'no restore of this plan has been measured yet' },
        lost: { from: instant, to: '2026-11-24T10:00:00.000Z', durationMs: 28_800_000 },
      },
    }),
  };
  await bench.withActivities(activities, async () => {
    const revision = { plan, set: 'default', taskQueue: bench.taskQueue };
    const entity = bench.client.workflow.getHandle(planWorkflowId(name));
    await bench.client.workflow.executeUpdateWithStart(applyPlan, {
      startWorkflowOperation: new WithStartWorkflowOperation('plan', {
        ...{ workflowId: entity.workflowId, taskQueue: bench.taskQueue, workflowIdConflictPolicy: 'FAIL' },
        args: [{ ...newPlanState(revision, found.readAt), historyEvents: 120 }],
      }),
      args: [{ revision, after: 0, keepPauses: true }],
    });
    const until = (what: string, holds: (status: PlanStatus) => boolean) =>
      eventually(what, async () => holds(await entity.query(planStatus)));
    await entity.signal(personsSignal('restore'), { nonsense: true });
    await entity.signal(personsSignal('backup'), { requestId: 'r-1' });
    await until('the backup is done', ({ closed }) => closed.length === 1);
    await entity.signal(personsSignal('restore'), { replace: true });
    await until('it waits', ({ requests }) => requests[0]?.state === 'awaiting-approval');
    await entity.signal(personsSignal('approve'));
    await until('the restore is done', ({ closed }) => closed.length === 2);
    await entity.executeUpdate(removePlan);
    await entity.result();
    const runs = await Array.fromAsync(bench.client.workflow.list());
    const own = runs.filter(
      ({ workflowId }) => workflowId.includes(name) || workflowId.endsWith(bench.taskQueue),
    );
    const counts = new Map<string, number>();
    for (const { type, workflowId, runId } of own) {
      const count = (counts.get(type) ?? 0) + 1;
      counts.set(type, count);
      await save(`plan.${type}-${count}.json`, workflowId, runId);
    }
  });
}

async function verify({ ref, level }: Parameters<Activities['verify']>[0]): Promise<VerifyReport> {
  return {
    ...{ plan: ref.plan, backup: ref.backup, level, verdict: 'OK', checkedObjects: 4, checkedBytes: 160 },
    ...{ problems: [], startedAt: '2026-11-23T04:00:00.000Z', finishedAt: '2026-11-23T04:00:01.000Z' },
  };
}

function backupInput(backup: string, steps: typeof CAPTURE) {
  const pipeline = pipelineOf([
    ...steps,
    { id: 'verify', verb: 'verify', options: { level: 'content' } },
    { id: 'alarm', verb: 'http', options: { url: { env: 'HOOK' }, method: 'POST' }, when: 'failure' },
  ]);
  return { backup, pipeline };
}

function holderThatLosesEpochOne(of: Bench): Activities['snapshot'] {
  return async ({ firstEpoch }) => {
    const { attempt, workflowExecution: run } = Context.current().info;
    const readPoint = readPointAt(firstEpoch + attempt - 1);
    await of.client.workflow.getHandle(run?.workflowId ?? '').signal(READ_POINT_OPENED, readPoint);
    const lastsMs = readPoint.epoch === 1 ? 50 : 60_000;
    for (let waitedMs = 0; waitedMs < lastsMs; waitedMs += 10) {
      heartbeat();
      await Context.current().sleep(10);
    }
    throw ApplicationFailure.create({ message: 'the session died', type: READ_POINT_LOST });
  };
}

/** Runs one workflow and saves the history of it and of its children. */
async function record(
  name: string,
  type: string,
  input: unknown,
  activities: Partial<Activities>,
): Promise<void> {
  const workflowId = `${type}:${name}`;
  await bench.withActivities(activities, async () => {
    try {
      await bench.client.workflow.execute(type, { workflowId, taskQueue: bench.taskQueue, args: [input] });
    } catch (error) {
      if (!(error instanceof WorkflowFailedError)) throw error;
    }
    let children = 0;
    for await (const run of bench.client.workflow.list({ query: `WorkflowId STARTS_WITH "${workflowId}"` })) {
      const file = run.workflowId === workflowId ? `${name}.json` : `${name}.child-${++children}.json`;
      await save(file, run.workflowId, run.runId);
    }
  });
}

function save(file: string, workflowId: string, runId: string): Promise<void> {
  return saveHistory(bench.client.workflow, file, workflowId, runId);
}
