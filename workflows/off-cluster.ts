import { ApplicationFailure, isCancellation, ParentClosePolicy, startChild } from '@temporalio/workflow';
import { defined } from '../model/defined.ts';
import { tabletSource } from '../model/engine-kind.ts';
import type { OffClusterInput, OffClusterOutcome } from '../model/off-cluster.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import { runChild } from './children.ts';
import { describeFailure } from './failures.ts';
import { backupWorkflowId, type WorkflowsByName } from './messages.ts';
import { sendNotification } from './notify.ts';
import { runAttributes } from './run-attributes.ts';

/** Longest time for the search for snapshots to export. The next run searches again. */
const LOOK_MS = 10 * 60_000;

/**
 * Exports each snapshot that the plan's schedule has made and that the repository lacks, the oldest first. If one fails, the later ones are exported all
 * the same: the schedule deletes its snapshots after their time, even those that are still needed.
 */
export async function offCluster(input: OffClusterInput): Promise<OffClusterOutcome> {
  const { plan, pipeline, notify } = input;
  const source = tabletSource(pipeline.source);
  if (source === undefined) {
    throw ApplicationFailure.nonRetryable(`plan ${plan} is of no universe`, 'NO_UNIVERSE');
  }
  const look = activitiesFor({
    summary: 'what the schedule has made, and the schema',
    retry: { ...PATIENT_RETRY, maximumAttempts: 5 },
    timeoutMs: LOOK_MS,
  });
  const { repository } = pipeline;
  const { exports, givenUp } = await telling(input, () => look.pendingExports({ repository, plan, source }));
  const exported: string[] = [];
  const failures: string[] = [];
  for (const { backup, scheduled } of exports) {
    try {
      await runChild(() =>
        startChild<WorkflowsByName['backup']>('backup', {
          workflowId: backupWorkflowId(plan, backup),
          staticSummary: `Export of the snapshot of ${scheduled.takenAt} of ${scheduled.database}, with its history since ${scheduled.history.from}`,
          parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
          typedSearchAttributes: runAttributes({ name: plan, pipeline }),
          args: [{ pipeline, backup, scheduled, ...defined({ notify }) }],
        }),
      );
      exported.push(backup);
    } catch (error) {
      if (isCancellation(error)) throw error;
      failures.push(`${scheduled.takenAt}: ${describeFailure(error).message}`);
    }
  }
  const [first] = failures;
  if (first === undefined) return { plan, exported, givenUp };
  throw ApplicationFailure.nonRetryable(
    `${failures.length} of ${exports.length} snapshots could not be exported, the first being that of ${first}`,
    'HISTORY_NOT_EXPORTED',
  );
}

/** Tells that the search failed. What fails later is told by the backup that exports. */
async function telling<T>({ plan, pipeline, notify }: OffClusterInput, search: () => Promise<T>): Promise<T> {
  try {
    return await search();
  } catch (error) {
    if (isCancellation(error)) throw error;
    const reason = describeFailure(error);
    const headline = `Nothing of the history of ${plan} is exported, since the search for snapshots failed: ${reason.message}`;
    const { labels } = pipeline;
    await sendNotification('stalled', {
      type: 'off-cluster.stalled',
      plan,
      labels,
      ok: false,
      headline,
      error: reason,
      facts: {},
      ...defined({ notify }),
    });
    throw error;
  }
}
