import { WorkflowNotFoundError } from '@temporalio/client';

/**
 * Waits for a request that ends a run. The run may end by itself just before the request reaches the server. The server then answers
 * that there is no such run, which this ignores.
 */
export async function unlessEnded(request: Promise<unknown>): Promise<void> {
  try {
    await request;
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
  }
}
