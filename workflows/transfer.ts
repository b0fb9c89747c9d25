import { getExternalWorkflowHandle, patched, workflowInfo } from '@temporalio/workflow';
import { activitiesFor } from './activity-proxies.ts';
import { type TransferInput, transferProgress } from './messages.ts';
import { inLanes } from './scopes.ts';

/** A report costs parent and server more than a small chunk does; nobody looks more often than this. */
const REPORT_INTERVAL_MS = 1_000;

/**
 * Uploads or loads one shard of a work list: at most 500 tasks, `parallelism` at once. A child of `backup` or `restore`,
 * so that the parent's history stays small whatever the size of the data; the items themselves are in the repository.
 */
export async function transfer(input: TransferInput): Promise<void> {
  const { parallelism, retry, timeoutMs } = input.options;
  const parent = workflowInfo().parent;
  const sum = {
    shard: input.direction === 'upload' ? input.shard : input.firstTask,
    tasksDone: 0,
    rows: 0,
    bytes: 0,
    storedBytes: 0,
  };
  const intervalMs = patched('report-interval') ? REPORT_INTERVAL_MS : 0;
  let reportedAtMs = Date.now();
  const report = async (): Promise<void> => {
    if (parent === undefined) return;
    reportedAtMs = Date.now();
    await getExternalWorkflowHandle(parent.workflowId, parent.runId).signal(transferProgress, { ...sum });
  };

  await inLanes(input.tasks, parallelism, async (index) => {
    const activities = activitiesFor({ summary: summaryOf(input, index), retry, timeoutMs });
    if (input.direction === 'upload') {
      const { ref, source, readPoint, shard, zstdLevel } = input;
      const task = await activities.upload({ ref, source, readPoint, shard, task: index, zstdLevel });
      sum.rows += task.rows;
      sum.bytes += task.bytes;
      sum.storedBytes += task.storedBytes;
    } else {
      const loaded = await activities.load({ request: input.request, task: input.firstTask + index });
      sum.rows += loaded.rows;
      sum.bytes += loaded.bytes;
    }
    sum.tasksDone += 1;
    const due = sum.tasksDone % input.reportEvery === 0 && Date.now() - reportedAtMs >= intervalMs;
    if (due && sum.tasksDone < input.tasks) await report();
  });
  await report();
}

function summaryOf(input: TransferInput, index: number): string {
  return input.direction === 'upload'
    ? `chunk ${index + 1} of ${input.tasks} (shard ${input.shard + 1}, epoch ${input.readPoint.epoch})`
    : `chunk ${input.firstTask + index + 1}`;
}
