import { appendFileSync } from 'node:fs';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { Activities, ReconcileInput } from '../../activities/contract.ts';
import { runActivities } from '../../activities/run-activities.ts';
import { reconcileSchedules } from '../../activities/schedules.ts';
import { readPointQueue } from '../../model/task-queue.ts';
import { workflowBundle } from '../../worker/bundle.ts';
import { capture } from '../workflows/scripted-worker.ts';

/**
 * A program: `worker ADDRESS QUEUE LEDGER` hosts the real workflows with activities that only pretend to save, in a process that
 * a campaign may kill. Each backup that is sealed leaves a line in the ledger.
 */
const [, , address = '', taskQueue = '', ledger = ''] = process.argv;

Runtime.install({ logger: new DefaultLogger('ERROR') });
const connection = await NativeConnection.connect({ address });
const client = new Client({ connection: await Connection.connect({ address }) });
const pretended = capture(1);
const identity = { server: taskQueue, databases: { include: [], exclude: [] } };
const activities: Partial<Activities> = {
  ...pretended,
  ...runActivities(client, async () => identity),
  seal: async (input) => {
    appendFileSync(ledger, `${input.ref.backup}\n`);
    return pretended.seal(input);
  },
  surveyPlan: async () => ({
    ...{ readAt: new Date().toISOString(), backups: 0, unusable: 0, storedBytes: 0, schedules: [] },
    window: { instants: [], ranges: [] },
  }),
  reconcileSchedules: (input: ReconcileInput) => reconcileSchedules(client, input),
  recordAct: async () => undefined,
};
const worker = await Worker.create({
  ...{ connection, taskQueue, activities, shutdownForceTime: '20s', isolateExecutionTimeout: '30s' },
  workflowBundle: await workflowBundle(),
});
const holders = await Worker.create({ connection, taskQueue: readPointQueue(taskQueue), activities });
process.stdout.write('ready\n');
await Promise.all([worker.run(), holders.run()]);
