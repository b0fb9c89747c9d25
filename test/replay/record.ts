import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { Context, heartbeat } from '@temporalio/activity';
import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import type { Activities } from '../../activities/contract.ts';
import type { VerifyReport } from '../../model/backup.ts';
import { READ_POINT_LOST } from '../../model/errors.ts';
import packageJson from '../../package.json' with { type: 'json' };
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

/**
 * `node test/replay/record.ts` records the histories that `replay.test.ts` replays, into `histories/<version>/`. Run it once for
 * each released version, from its own commit, and keep the files: they prove that later workflow code still drives runs
 * that were begun with that version. A recorded file is never replaced: what is there already is left.
 */
const folder = new URL(`./histories/${packageJson.version}/`, import.meta.url);
const bench = await startBench();
mkdirSync(folder, { recursive: true });
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
} finally {
  await bench.stop();
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
      const history = await bench.client.workflow.getHandle(run.workflowId, run.runId).fetchHistory();
      const file = run.workflowId === workflowId ? `${name}.json` : `${name}.child-${++children}.json`;
      // Stack traces hold paths of the machine that recorded them.
      const text = historyToJSON(history).replaceAll(process.cwd(), '/holdfast');
      const recorded = new URL(file, folder);
      if (!existsSync(recorded)) writeFileSync(recorded, `${text}\n`, { flag: 'wx' });
    }
  });
}
