import { ServiceError, type WorkflowHandle } from '@temporalio/client';

/**
 * The failures after which a run is now waiting to try again: one sentence for each cause, from failed activities of the run or
 * its children. Empty if there are none, or if the server can't be asked.
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
    // Following the run itself reports a server that is down.
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
