import { ServiceError, type WorkflowHandle } from '@temporalio/client';

/**
 * The failures that a run is waiting out: one sentence for each cause, from activities of the run or of its children that failed
 * and will be tried again. Empty if there is none, or if the server can't be asked.
 */
export async function troublesOf(handle: WorkflowHandle): Promise<readonly string[]> {
  try {
    const { raw } = await handle.describe();
    const own = describeRetries(raw.pendingActivities ?? []);
    const children = (raw.pendingChildren ?? []).map(({ workflowId, runId }) =>
      handle.client.getHandle(workflowId ?? '', runId ?? undefined).describe(),
    );
    const theirs = (await Promise.all(children)).flatMap((child) =>
      describeRetries(child.raw.pendingActivities ?? []),
    );
    return [...new Map([...own, ...theirs].map(({ cause, sentence }) => [cause, sentence])).values()];
  } catch (error) {
    // A server that is down is reported by following the run itself.
    if (error instanceof ServiceError) return [];
    throw error;
  }
}

interface PendingActivity {
  readonly activityType?: { readonly name?: string | null } | null;
  readonly attempt?: number | null;
  readonly lastFailure?: { readonly message?: string | null } | null;
}

function describeRetries(pending: readonly PendingActivity[]) {
  return pending.flatMap(({ activityType, attempt, lastFailure }) => {
    const cause = lastFailure?.message;
    if (!cause) return [];
    return [{ cause, sentence: `${activityType?.name} is tried again (attempt ${attempt}): ${cause}` }];
  });
}
