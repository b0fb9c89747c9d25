/** The task queue of Holdfast's workers; read points have a queue of their own (`workflows/messages.ts`). */
export const DEFAULT_TASK_QUEUE = 'holdfast';

/** The queue that the agent of a tablet server polls. @param address `host:port` of its RPC, as the universe names it. */
export const nodeQueue = (address: string): string => `node.${address}`;
