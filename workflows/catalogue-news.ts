import { getExternalWorkflowHandle, isCancellation, patched } from '@temporalio/workflow';
import { catalogueChanged, planWorkflowId } from './plan-messages.ts';

/** Tells the plan's entity that the set of restorable backups has changed, so that its page shows it at once. */
export async function tellCatalogueChanged(plan: string): Promise<void> {
  if (!patched('catalogue-news')) return;
  try {
    await getExternalWorkflowHandle(planWorkflowId(plan)).signal(catalogueChanged);
  } catch (error) {
    // The signal fails only if the plan was never applied. Then there is no page to update.
    if (isCancellation(error)) throw error;
  }
}
