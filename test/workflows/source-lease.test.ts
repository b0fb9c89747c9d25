import { Context, heartbeat } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { Activities } from '../../activities/contract.ts';
import { PLAIN_RESTORE } from '../../model/backup.ts';
import { lockState, progress } from '../../workflows/messages.ts';
import { eventually } from '../support/processes.ts';
import { type Bench, CAPTURE, capture, pipelineOf, restoring, startBench } from './scripted-worker.ts';

/** Backups and overwriting restores of one source take turns, whoever starts them. */
let bench: Bench;
let runs = 0;

beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

const pipeline = pipelineOf(CAPTURE);

function startBackup(): Promise<WorkflowHandle> {
  const backup = `b${++runs}`;
  const args = [{ pipeline, backup }];
  return bench.client.workflow.start('backup', {
    workflowId: `backup:orders:${backup}`,
    taskQueue: bench.taskQueue,
    args,
  });
}

function startRestore(changes: object = {}): Promise<WorkflowHandle> {
  const restore = `r${++runs}`;
  const request = {
    ...PLAIN_RESTORE,
    restore,
    from: { repository: pipeline.repository, plan: 'orders', backup: 'b1' },
    source: pipeline.source,
    ...{ replace: true, scratch: false, parallelism: 2, ...changes },
  };
  const args = [request];
  return bench.client.workflow.start('restore', {
    workflowId: `restore:orders:${restore}`,
    taskQueue: bench.taskQueue,
    args,
  });
}

/** Which runs read or write the source at the moment, and whatever was there at the same time. */
class Witness {
  readonly met: string[] = [];
  private readonly here = new Set<string>();
  readonly gates = new Map<string, boolean>();

  /** An activity of a run that stays at the source until `gates` opens for its kind. */
  async visit(kind: 'backup' | 'restore'): Promise<void> {
    const { workflowExecution } = Context.current().info;
    const id = `${kind} ${workflowExecution?.workflowId}`;
    this.here.add(id);
    this.met.push(
      [...this.here]
        .map((each) => each.split(' ')[0])
        .sort()
        .join(' + '),
    );
    try {
      while (this.gates.get(kind) !== true) {
        heartbeat();
        await Context.current().sleep(20);
      }
    } finally {
      this.here.delete(id);
    }
  }

  get present(): number {
    return this.here.size;
  }

  open(kind: 'backup' | 'restore'): void {
    this.gates.set(kind, true);
  }

  activities(): Partial<Activities> {
    return {
      ...capture(1),
      ...restoring(),
      upload: async () => {
        await this.visit('backup');
        return { index: 0, rows: 1, bytes: 1, storedBytes: 1, objects: 1 };
      },
      load: async () => {
        await this.visit('restore');
        return { rows: 1, bytes: 1 };
      },
    };
  }
}

const headline = async (handle: WorkflowHandle): Promise<string> => (await handle.query(progress)).headline;

test('an overwriting restore waits for the backups under way, and the next backup for the restore', async () => {
  const witness = new Witness();
  await bench.withActivities(witness.activities(), async () => {
    const [one, other] = await Promise.all([startBackup(), startBackup()]);
    await eventually('two backups run together', async () => witness.present === 2);
    const overwriting = await startRestore();
    await eventually('the restore waits', async () => /turn/.test(await headline(overwriting)));
    const late = await startBackup();
    await eventually('so does the next backup', async () =>
      /waits for an overwriting/.test(await headline(late)),
    );
    expect(witness.present).toBe(2);
    const { holders, waiting } = await bench.client.workflow
      .getHandle(`source:${bench.taskQueue}`)
      .query(lockState);
    expect([holders.length, waiting.map(({ mode }) => mode)]).toEqual([2, ['alone', 'together']]);

    witness.open('backup');
    await Promise.all([one.result(), other.result()]);
    await eventually('the restore works', async () => witness.met.includes('restore'));
    witness.open('restore');
    await Promise.all([overwriting.result(), late.result()]);
    expect(witness.met.filter((present) => /backup/.test(present) && /restore/.test(present))).toEqual([]);
    const gate = bench.client.workflow.getHandle(`source:${bench.taskQueue}`);
    await eventually(
      'the gate ends when nobody is left',
      async () => (await gate.describe()).status.name === 'COMPLETED',
    );
  });
});

test('a run that was terminated holds nobody up', async () => {
  const witness = new Witness();
  await bench.withActivities(witness.activities(), async () => {
    const killed = await startBackup();
    await eventually('a backup runs', async () => witness.present === 1);
    const overwriting = await startRestore();
    await eventually('the restore waits', async () => /turn/.test(await headline(overwriting)));
    await killed.terminate('as an operator would');
    witness.open('backup');
    witness.open('restore');
    await overwriting.result();
  });
});

test('a lock that can’t ask Temporal for its runs keeps them, and lets nobody in beside them', async () => {
  const witness = new Witness();
  let asked = 0;
  const statesOfRuns = async () => {
    asked += 1;
    throw ApplicationFailure.nonRetryable('namespace rate limit exceeded', 'UNEXPECTED');
  };
  await bench.withActivities({ ...witness.activities(), statesOfRuns }, async () => {
    const first = await startBackup();
    await eventually('a backup runs', async () => witness.present === 1);
    const overwriting = await startRestore();
    const lock = bench.client.workflow.getHandle(`source:${bench.taskQueue}`);
    const status = async () => (await lock.describe()).status.name;
    await eventually('the lock asks again', async () => asked > 1 || (await status()) !== 'RUNNING');
    expect(await status()).toBe('RUNNING');
    const later = await startBackup();
    witness.open('backup');
    await first.result();
    await eventually('the restore works', async () => witness.met.includes('restore'));
    witness.open('restore');
    await Promise.all([overwriting.result(), later.result()]);
    expect(witness.met.filter((present) => /backup/.test(present) && /restore/.test(present))).toEqual([]);
  });
});

test('a run that is cancelled while it waits gives its place up', async () => {
  const witness = new Witness();
  await bench.withActivities(witness.activities(), async () => {
    const first = await startBackup();
    await eventually('a backup runs', async () => witness.present === 1);
    const overwriting = await startRestore();
    await eventually('the restore waits', async () => /turn/.test(await headline(overwriting)));
    await overwriting.cancel();
    await expect(overwriting.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
    const second = await startBackup();
    await eventually('the next backup runs beside the first', async () => witness.present === 2);
    witness.open('backup');
    await Promise.all([first.result(), second.result()]);
  });
});

test('a restore beside what is there waits for nobody', async () => {
  const witness = new Witness();
  await bench.withActivities(witness.activities(), async () => {
    const first = await startBackup();
    await eventually('a backup runs', async () => witness.present === 1);
    witness.open('restore');
    await (await startRestore({ replace: false })).result();
    witness.open('backup');
    await first.result();
  });
});

describe('before it overwrites, a restore', () => {
  const safetyBackup = { backup: 'safe', pipeline };
  const opened = (changes: Partial<Activities> = {}): Partial<Activities> => {
    const witness = new Witness();
    witness.open('backup');
    witness.open('restore');
    return { ...witness.activities(), ...changes };
  };

  test('makes a backup of what is there, and says which', async () => {
    await bench.withActivities(opened(), async () => {
      const safety = { ...safetyBackup, backup: `safe${++runs}` };
      const restoring = await startRestore({ safetyBackup: safety });
      expect(await restoring.result()).toMatchObject({ verdict: 'OK', safetyBackup: safety.backup });
      const made = bench.client.workflow.getHandle(`backup:orders:${safety.backup}`);
      expect((await made.describe()).status.name).toBe('COMPLETED');
    });
  });

  test('refuses when that backup fails', async () => {
    const prepared: string[] = [];
    const activities = opened({
      seal: async () => {
        throw ApplicationFailure.nonRetryable('The bucket is full. Make room.', 'STORE_FULL');
      },
      prepareRestore: async ({ request }) => void prepared.push(request.restore),
    });
    await bench.withActivities(activities, async () => {
      const restoring = await startRestore({ safetyBackup });
      await expect(restoring.result()).rejects.toMatchObject({
        cause: { type: 'SAFETY_BACKUP_FAILED', message: expect.stringContaining('The bucket is full') },
      });
      expect(prepared).toEqual([]);
    });
  });

  test('goes on where the database is gone: there is nothing to save', async () => {
    const activities = opened({
      snapshot: async () => {
        const message =
          'Failed to connect: database "orders" does not exist (SQLSTATE 3D000). Correct the name.';
        throw ApplicationFailure.nonRetryable(message, 'YSQL_FAILED');
      },
    });
    await bench.withActivities(activities, async () => {
      const restoring = await startRestore({ safetyBackup: { ...safetyBackup, backup: `gone${++runs}` } });
      const summary = await restoring.result();
      expect(summary).toMatchObject({ verdict: 'OK' });
      // Nobody is told of a backup that wasn't made.
      expect(summary.safetyBackup).toBeUndefined();
    });
  });

  test('refuses where one of several databases is gone: the others would be overwritten unsaved', async () => {
    const prepared: string[] = [];
    const activities = opened({
      snapshot: async () => {
        throw ApplicationFailure.nonRetryable('The universe has no database gone', 'UNIVERSE_NO_DATABASE');
      },
      prepareRestore: async ({ request }) => void prepared.push(request.restore),
    });
    const both = { include: ['shop', 'gone'], exclude: [] };
    const source = { ...pipeline.source, databases: both } as typeof pipeline.source;
    await bench.withActivities(activities, async () => {
      const safety = { pipeline: { ...pipeline, source }, backup: `partly${++runs}` };
      const restoring = await startRestore({ safetyBackup: safety });
      await expect(restoring.result()).rejects.toMatchObject({
        cause: { type: 'SAFETY_BACKUP_FAILED', message: expect.stringContaining('has no database gone') },
      });
      expect(prepared).toEqual([]);
    });
  });
});
