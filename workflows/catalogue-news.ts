import { getExternalWorkflowHandle, isCancellation, patched } from '@temporalio/workflow';
import { catalogueChanged, planWorkflowId } from './plan-messages.ts';

/** Tells the plan's entity that what can be restored has changed, so that its page shows it at once. */
export async function tellCatalogueChanged(plan: string): Promise<void> {
  if (!patched('catalogue-news')) return;
  try {
    await getExternalWorkflowHandle(planWorkflowId(plan)).signal(catalogueChanged);
  } catch (error) {
    // Only that the plan was never applied makes a signal fail: then there is no page.
    if (isCancellation(error)) throw error;
  }
}
