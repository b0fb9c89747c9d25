import { Context } from '@temporalio/activity';
import { Client } from '@temporalio/client';
import { ApplicationFailure, defaultPayloadConverter } from '@temporalio/common';
import { NativeConnection, Worker } from '@temporalio/worker';
import type { Activities, ArchiveInput } from '../../activities/contract.ts';
import { TRACE_HEADER, traceHeader } from '../../model/trace.ts';
import { archiveEnded, archiveQueue, archiveState } from '../../workflows/archive-messages.ts';
import { eventually } from '../support/processes.ts';
import { type Bench, CAPTURE, pipelineOf, startBench } from './scripted-worker.ts';

/** The workflow of an archive of changes on a real Temporal server; what its activities find is the test's own. */
let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

const { repository } = pipelineOf(CAPTURE);
const source: ArchiveInput['source'] = {
  ...{ engine: 'ysql', connection: { env: 'PG_URL' }, tables: { include: [], exclude: [] } },
  ...{ contents: 'all', globals: 'none', chunkBytes: 1_000_000 },
};

async function archiving(
  activities: Partial<Activities>,
  body: (input: ArchiveInput) => Promise<void>,
): Promise<void> {
  const connection = await NativeConnection.connect({ address: bench.address });
  try {
    await bench.withActivities(activities, async () => {
      const worker = await Worker.create({
        connection,
        taskQueue: archiveQueue(bench.taskQueue),
        activities: {
          archiveDatabases: async () => ({ wanted: ['orders'], others: [] }),
          openArchive: async () => ({ timeline: 't1', since: '2026-11-24T10:00:00.000Z' }),
          streamArchive: async () => {
            const beat = setInterval(() => Context.current().heartbeat(), 100);
            try {
              return await Context.current().cancelled;
            } finally {
              clearInterval(beat);
            }
          },
          ...activities,
        },
      });
      const policy = { lagMs: 1_000, segmentBytes: 1, retentionMs: 1_000, maxSourceLagBytes: 1 };
      await worker.runUntil(() => body({ plan: 'orders', source, repository, policy, labels: {} }));
    });
  } finally {
    await connection.close();
  }
}

test('an archive that can’t be ended at first is ended when it can: a slot that is left makes the source keep its log for ever', async () => {
  let tries = 0;
  const closeArchive = async () => {
    tries += 1;
    if (tries === 1) throw ApplicationFailure.nonRetryable('permission denied to drop the slot', 'DENIED');
  };
  await archiving({ closeArchive }, async (input) => {
    const handle = await bench.client.workflow.start('archive', {
      workflowId: 'archive:orders',
      taskQueue: bench.taskQueue,
      args: [input],
    });
    await eventually('it streams', async () => (await handle.query(archiveState)).databases.length === 1);
    await handle.signal(archiveEnded);
    await handle.result();
    expect(tries).toBe(2);
  });
});

const start = (input: ArchiveInput, { workflow }: Pick<Client, 'workflow'> = bench.client) =>
  workflow.start('archive', {
    workflowId: 'archive:orders',
    taskQueue: bench.taskQueue,
    args: [input],
  });

test('an archive that can’t be ended holds up no other one', async () => {
  const closeArchive = () =>
    Promise.reject(ApplicationFailure.nonRetryable('permission denied for database old', 'DENIED'));
  const archiveDatabases = async () => ({ wanted: ['orders'], others: ['old', 'older'] });
  await archiving({ closeArchive, archiveDatabases }, async (input) => {
    const handle = await start(input);
    try {
      await eventually('it streams', async () => (await handle.query(archiveState)).databases.length === 1);
    } finally {
      await handle.terminate();
    }
  });
});

test('the end of an archive closes every database, also behind one that can’t be closed, and none twice', async () => {
  const closed: string[] = [];
  const closeArchive = async ({ database }: { database: string }) => {
    closed.push(database);
    if (database === 'old')
      throw ApplicationFailure.nonRetryable('permission denied for database old', 'DENIED');
  };
  const archiveDatabases = async () => ({ wanted: ['old', 'orders'], others: [] });
  await archiving({ closeArchive, archiveDatabases }, async (input) => {
    const handle = await start(input);
    try {
      await eventually('it streams', async () => (await handle.query(archiveState)).databases.length === 2);
      await handle.signal(archiveEnded);
      const triesOf = (database: string) => closed.filter((name) => name === database).length;
      await eventually('it is tried again', async () => triesOf('old') > 1);
      expect(triesOf('orders')).toBe(1);
    } finally {
      await handle.terminate();
    }
  });
});

test('an archive of many databases opens all of them, though that fills more than the history of a run may grow', async () => {
  const wanted = Array.from({ length: 30 }, (_, at) => `orders_${at}`);
  await archiving({ archiveDatabases: async () => ({ wanted, others: [] }) }, async (input) => {
    const handle = await start({ ...input, historyEvents: 60 });
    const { runId } = await handle.describe();
    try {
      await eventually(
        'all stream',
        async () => (await handle.query(archiveState)).databases.length === wanted.length,
      );
      expect((await handle.describe()).runId).toBe(runId);
    } finally {
      await handle.terminate();
    }
  });
});

const streamArchive = async () => ({
  ...{ formatVersion: 1 as const, timeline: 't1', lsn: '0'.repeat(16), code: 'schema-changed' as const },
  ...{ endedAt: '2026-11-24T10:00:00.000Z', reason: 'A table came.' },
});

test('each run knows what the one before archived, whose slots are watched while the repository is away', async () => {
  const seen: unknown[] = [];
  const archiveDatabases = async ({ known }: { known?: readonly string[] }) => {
    seen.push(known);
    return { wanted: ['orders'], others: [] };
  };
  await archiving({ archiveDatabases, streamArchive }, async (input) => {
    const handle = await start({ ...input, historyEvents: 60 });
    try {
      await eventually('another run', async () => seen.length > 1);
      expect(seen.slice(0, 2)).toEqual([[], ['orders']]);
    } finally {
      await handle.terminate();
    }
  });
});

test('a database that can’t be archived is told of once, though run follows run', async () => {
  const calls: unknown[] = [];
  const http = async (call: unknown) => {
    calls.push(call);
    return { status: 200 };
  };
  const archiveDatabases = async () => ({ wanted: ['old', 'orders'], others: [] });
  const openArchive = async ({ database }: { database: string }) => {
    if (database === 'old')
      throw ApplicationFailure.nonRetryable('permission denied for database old', 'DENIED');
    return { timeline: 't1', since: '2026-11-24T10:00:00.000Z' };
  };
  await archiving({ archiveDatabases, openArchive, streamArchive, http }, async (input) => {
    const notify = [{ kind: 'webhook' as const, url: { env: 'HOOK' }, on: ['archive.failed' as const] }];
    const handle = await start({ ...input, notify, historyEvents: 60 });
    try {
      const runs = new Set<string>();
      await eventually('a third run', async () => runs.add((await handle.describe()).runId).size === 3);
      await eventually('it is told', async () => calls.length > 0);
      expect(calls).toHaveLength(1);
    } finally {
      await handle.terminate();
    }
  });
});

test('an archive that begins anew all the time goes on in a new run, before its history is so long that Temporal ends it, and in no trace', async () => {
  const header = defaultPayloadConverter.toPayload(
    traceHeader({ traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) }),
  );
  const traced = new Client({
    connection: bench.client.connection,
    interceptors: {
      workflow: [{ start: (input, next) => next({ ...input, headers: { [TRACE_HEADER]: header } }) }],
    },
  });
  await archiving({ streamArchive }, async (input) => {
    const handle = await start({ ...input, historyEvents: 100 }, traced);
    const { runId } = await handle.describe();
    try {
      await eventually('another run', async () => (await handle.describe()).runId !== runId);
      const first = await bench.client.workflow.getHandle('archive:orders', runId).describe();
      expect(first.historyLength).toBeLessThan(200);
      // It lives for years: a trace that goes on with it would never end.
      const later = await bench.client.workflow.getHandle('archive:orders').fetchHistory();
      expect(JSON.stringify(later.events?.[0])).toContain('continuedExecutionRunId');
      expect(JSON.stringify(later)).not.toContain(TRACE_HEADER);
    } finally {
      await handle.terminate();
    }
  });
});
