import { ApplicationFailure, startChild, workflowInfo } from '@temporalio/workflow';
import { formatCount } from '../model/amounts.ts';
import type { BackupRef, ExportSummary } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import { READ_POINT_LOST } from '../model/errors.ts';
import type { StepOf, UniverseSource } from '../model/pipeline.ts';
import { TABLETS_PER_BATCH } from '../model/tablets.ts';
import type { TransferWindow } from '../model/transfer-window.ts';
import { runChild } from './children.ts';
import { tasksPerReport } from './messages.ts';
import { inParallel } from './scopes.ts';
import { tabletTransfer } from './tablet-transfer.ts';

/** Batches at once, so that nodes begin the next batch while the last tablets of one are still missing. */
const BATCHES_AT_ONCE = 8;
const NAMED = 10;

/**
 * Saves every tablet of a work list, with one child for each 1,000. Tablets that no replica had are reported by name after all others
 * were saved, so that the next backup need not send those again.
 */
export async function saveAllTablets(input: {
  readonly ref: BackupRef;
  readonly source: UniverseSource;
  readonly epoch: number;
  readonly list: ExportSummary;
  readonly step: StepOf<'upload'>;
  readonly window?: TransferWindow;
}): Promise<void> {
  const { ref, source, epoch, list, step, window } = input;
  const lost: string[] = [];
  const gone: string[] = [];
  let lostCount = 0;
  const bytesPerSecond = shareOf(source, list.nodes ?? 1);
  await inParallel(list.shards, BATCHES_AT_ONCE, async (batch) => {
    const tablets = Math.min(TABLETS_PER_BATCH, list.tasks - batch * TABLETS_PER_BATCH);
    const outcome = await runChild(() =>
      startChild(tabletTransfer, {
        workflowId: `${workflowInfo().workflowId}:upload:e${epoch}:${batch}`,
        staticSummary: `upload batch ${batch + 1} of ${list.shards}, ${tablets} tablets, epoch ${epoch}`,
        args: [
          {
            ref,
            source,
            epoch,
            shard: batch,
            reportEvery: tasksPerReport(list.tasks),
            retry: step.retry,
            timeoutMs: step.timeoutMs,
            ...defined({ bytesPerSecond, window }),
          },
        ],
      }),
    );
    gone.push(...outcome.gone);
    lostCount += outcome.lostCount;
    lost.push(...outcome.lost);
  });
  const [first] = gone;
  if (first !== undefined) {
    // The next snapshot holds the tablets that replaced these. Most of its files are already in the repository.
    throw ApplicationFailure.create({
      type: READ_POINT_LOST,
      message: `${formatCount(gone.length)} tablets were split or replaced after the snapshot, the first being ${first}. Another snapshot is taken.`,
      nonRetryable: true,
    });
  }
  if (lostCount === 0) return;
  throw ApplicationFailure.nonRetryable(
    `${formatCount(lostCount)} of ${formatCount(list.tasks)} tablets could not be read from any of their replicas: ` +
      `${lost.slice(0, NAMED).join('; ')}. All others are saved, and will not be sent again. ` +
      'See that every tablet server with a replica has an agent (holdfast worker --tserver), and run the backup again.',
    'TABLETS_LOST',
  );
}

/** Bytes per second that one node may send: the lower of its own limit and its share of the limit for all. */
export function shareOf({ limits }: UniverseSource, nodes: number): number | undefined {
  const { bytesPerSecond, bytesPerSecondPerNode } = limits;
  const share = bytesPerSecond === undefined ? undefined : Math.ceil(bytesPerSecond / Math.max(1, nodes));
  if (share === undefined) return bytesPerSecondPerNode;
  return bytesPerSecondPerNode === undefined ? share : Math.min(share, bytesPerSecondPerNode);
}
