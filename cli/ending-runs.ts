import { WorkflowNotFoundError } from '@temporalio/client';

/**
 * Waits for a request that ends a run. The run may end by itself a moment before the request reaches the server, which then answers that
 * there is no such run; that is no failure.
 */
export async function unlessEnded(request: Promise<unknown>): Promise<void> {
  try {
    await request;
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
  }
}
