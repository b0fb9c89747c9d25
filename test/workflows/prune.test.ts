import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Activities } from '../../activities/contract.ts';
import { createActivities } from '../../activities/index.ts';
import { Pins } from '../../activities/pins.ts';
import { Repositories } from '../../activities/repositories.ts';
import { asActivity } from '../../activities/run-activity.ts';
import { PLAIN_RESTORE } from '../../model/backup.ts';
import type { RepositorySpec, Retention } from '../../model/pipeline.ts';
import type { PruneInput, PruneOutcome } from '../../model/prune.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { readCatalogue } from '../../repository/catalogue.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { releaseLease, takeLease } from '../../repository/lease.ts';
import { recordReport } from '../../repository/ledger.ts';
import { readPins } from '../../repository/retention/pins.ts';
import type { Store } from '../../repository/store.ts';
import { SAMPLE, writeSampleBackup } from '../repository/sample-backup.ts';
import { eventually } from '../support/processes.ts';
import { type Bench, pipelineOf, restoring, startBench } from './scripted-worker.ts';

const PLAN = SAMPLE.plan;
const HOUR_MS = 3_600_000;

let bench: Bench;
let scratch: ScratchFolder;
let runs = 0;
beforeAll(async () => {
  bench = await startBench();
  scratch = await createScratchFolder('prune');
});
afterAll(async () => {
  await bench.stop();
  await scratch.remove();
});

/** What reading a catalogue asks of a repository is its name and whether it locks. */
const NOWHERE: RepositorySpec = { name: 'main', location: { kind: 'directory', path: '/nowhere' } };

/** Names that sort otherwise than time: retention goes by time. */
const NAMES = ['m-newest', 'z-day-1', 'a-day-2', 'k-day-3'];

async function repositoryOf(
  backups: readonly string[],
): Promise<{ readonly store: Store; readonly repository: RepositorySpec }> {
  const root = path.join(scratch.path, String(++runs));
  await mkdir(root);
  const store = new DirectoryStore(root);
  for (const [age, backup] of backups.entries()) {
    const takenAt = new Date(Date.now() - (1 + 24 * age) * HOUR_MS).toISOString();
    await writeSampleBackup(store, { epoch: 1, chunks: 1 }, { plan: PLAN, backup }, takenAt);
  }
  return { store, repository: { name: 'main', location: { kind: 'directory', path: root } } };
}

const left = async (store: Store) =>
  (await readCatalogue(store, NOWHERE, PLAN)).entries.map(({ backup, marked }) =>
    marked === undefined ? backup : `${backup} marked`,
  );

async function prune(
  repository: RepositorySpec,
  retention: Retention,
  activities: Partial<Activities> = createActivities(bench.client).activities,
): Promise<PruneOutcome> {
  const input: PruneInput = { plan: PLAN, repository, retention };
  return bench.withActivities(activities, () =>
    bench.client.workflow.execute('prune', {
      workflowId: `prune:${PLAN}:${++runs}`,
      taskQueue: bench.taskQueue,
      args: [input],
    }),
  );
}

test('what no rule keeps is marked, deleted a grace time later, and unmarked where a rule keeps it again', async () => {
  const { store, repository } = await repositoryOf(NAMES);
  await expect(prune(repository, { keepLast: 2, graceMs: HOUR_MS })).resolves.toMatchObject({
    marks: {
      backups: 4,
      kept: 2,
      marked: expect.arrayContaining(['a-day-2', 'k-day-3']),
      waiting: 2,
      due: 0,
    },
    deletions: { deletedBackups: 0 },
  });
  await expect(left(store)).resolves.toEqual(['m-newest', 'z-day-1', 'a-day-2 marked', 'k-day-3 marked']);

  // The policy changes: one is kept again, and the grace time of the other is over at once.
  await expect(prune(repository, { keepLast: 3, graceMs: 1 })).resolves.toMatchObject({
    marks: { kept: 3, unmarked: ['a-day-2'], due: 1 },
    deletions: { deleted: ['k-day-3'], deletedBackups: 1 },
  });
  await expect(left(store)).resolves.toEqual(['m-newest', 'z-day-1', 'a-day-2']);
});

test('the last one that a verification found good stays, whatever the policy', async () => {
  const { store, repository } = await repositoryOf(NAMES);
  await recordReport(store, {
    ...{ plan: PLAN, backup: 'k-day-3', level: 'content', verdict: 'OK', problems: [] },
    ...{ checkedObjects: 1, checkedBytes: 1 },
    startedAt: new Date().toISOString(),
    finishedAt: new Date().toISOString(),
  });
  await prune(repository, { keepLast: 1, graceMs: 1 });
  await prune(repository, { keepLast: 1, graceMs: 1 });
  await expect(left(store)).resolves.toEqual(['m-newest', 'k-day-3']);
});

test('a backup stays while a running restore reads it, and goes when that run has ended, however it ended', async () => {
  const { store, repository } = await repositoryOf(NAMES);
  const policy: Retention = { keepLast: 1, graceMs: 1 };
  await prune(repository, policy);
  await expect(left(store)).resolves.toContain('z-day-1 marked');

  const pins = new Pins(new Repositories(), bench.client);
  const working = restoring();
  const request = {
    ...{ restore: 'r1', from: { repository, plan: PLAN, backup: 'z-day-1' }, source: pipelineOf([]).source },
    ...PLAIN_RESTORE,
    ...{ scratch: false, parallelism: 1 },
  } as const;
  const activities: Partial<Activities> = {
    ...createActivities(bench.client).activities,
    ...working,
    planRestore: async (input) => {
      await pins.pin(input.request.from);
      return (await working.planRestore?.(input)) ?? Promise.reject(new Error('no plan'));
    },
    // Until the run is terminated from outside: the worst end that a run can have.
    load: () =>
      asActivity(
        ({ signal }) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(signal.reason));
          }),
      ),
  };
  await bench.withActivities(activities, async () => {
    const restore = await bench.client.workflow.start('restore', {
      workflowId: 'restore:orders:r1',
      taskQueue: bench.taskQueue,
      args: [request],
    });
    await eventually(
      'the restore has pinned its backup',
      async () => (await readPins(store, { plan: PLAN })).length === 1,
    );
    const input: PruneInput = { plan: PLAN, repository, retention: policy };
    const run = (): Promise<PruneOutcome> =>
      bench.client.workflow.execute('prune', {
        workflowId: `prune:${PLAN}:${++runs}`,
        taskQueue: bench.taskQueue,
        args: [input],
      });
    // Marked before, it is kept again as long as it is read.
    await expect(run()).resolves.toMatchObject({ marks: { unmarked: ['z-day-1'] } });
    await expect(left(store)).resolves.toEqual(['m-newest', 'z-day-1']);
    await restore.terminate('gone for good');
    await expect(run()).resolves.toMatchObject({ marks: { marked: ['z-day-1'] } });
    await expect(run()).resolves.toMatchObject({ deletions: { deleted: ['z-day-1'] } });
    await expect(left(store)).resolves.toEqual(['m-newest']);
    await expect(readPins(store, { plan: PLAN })).resolves.toEqual([]);
  });
});

test('a prune waits while another installation prunes the same repository', async () => {
  const { store, repository } = await repositoryOf(NAMES.slice(0, 2));
  const foreign = { name: 'prune:orders elsewhere', sinceMs: 1 };
  await takeLease(store, PLAN, foreign);
  const input: PruneInput = { plan: PLAN, repository, retention: { keepLast: 1 } };
  await bench.withActivities(createActivities(bench.client).activities, async () => {
    const run = await bench.client.workflow.start('prune', {
      workflowId: 'prune:orders:waiting',
      taskQueue: bench.taskQueue,
      args: [input],
    });
    await eventually('it has tried and waits', async () => {
      const { raw } = await run.describe();
      return (
        raw.pendingActivities?.[0]?.lastFailure?.message?.includes('are being pruned elsewhere') === true
      );
    });
    await expect(left(store)).resolves.toEqual(['m-newest', 'z-day-1']);
    await releaseLease(store, PLAN, foreign);
    await expect(run.result()).resolves.toMatchObject({ marks: { marked: ['z-day-1'] } });
  });
});

test('what a deletion left that was cut off is finished by the sweep, and an activity that dies is begun again', async () => {
  const { store, repository } = await repositoryOf(NAMES.slice(0, 3));
  const policy: Retention = { keepLast: 1, graceMs: 1 };
  await prune(repository, policy);
  const real = createActivities(bench.client).activities;
  let attempts = 0;
  const outcome = await prune(repository, policy, {
    ...real,
    deleteBackups: async (input) => {
      const done = await real.deleteBackups(input);
      attempts += 1;
      // Its answer is lost: what it did is done.
      if (attempts === 1) throw new Error('the connection was lost');
      return done;
    },
  });
  expect(attempts).toBe(2);
  expect(outcome.deletions.deletedBackups).toBe(2);
  await expect(left(store)).resolves.toEqual(['m-newest']);
});
