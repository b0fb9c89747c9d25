/** The task queue of Holdfast's workers; read points have a queue of their own (`workflows/messages.ts`). */
export const DEFAULT_TASK_QUEUE = 'holdfast';
