import { CancellationScope, isCancellation } from '@temporalio/workflow';

/**
 * Runs `work` for 0..count-1 with at most `lanes` at once. The first failure cancels what still runs, waits for it to
 * end, and is thrown. Deterministic: lanes take the next index in the order in which they come free.
 */
export async function inLanes(
  count: number,
  lanes: number,
  work: (index: number) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = [];
  await CancellationScope.cancellable(async () => {
    const scope = CancellationScope.current();
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < count && failures.length === 0) {
        try {
          await work(next++);
        } catch (error) {
          failures.push(error);
          scope.cancel();
        }
      }
    };
    await Promise.all(Array.from({ length: Math.max(1, Math.min(lanes, count)) }, lane));
  });
  if (failures.length > 0) {
    // The cause comes first; lanes that it cancelled report a cancellation after it.
    throw failures.find((failure) => !isCancellation(failure)) ?? failures[0];
  }
}
