import { CancellationScope, condition, isCancellation, sleep } from '@temporalio/workflow';
import { ignoreCancellation } from './failures.ts';

/**
 * Runs `work` for 0..count-1 with at most `parallelism` at once. The first failure cancels the work that still runs, and is thrown
 * when that has ended. Deterministic: each free loop takes the first index that is ready.
 *
 * @param isReady whether an index may begin; asked again each time another has ended
 */
export async function inParallel(
  count: number,
  parallelism: number,
  work: (index: number) => Promise<void>,
  isReady: (index: number) => boolean = () => true,
): Promise<void> {
  const failures: unknown[] = [];
  await CancellationScope.cancellable(async () => {
    const scope = CancellationScope.current();
    const waiting = Array.from({ length: count }, (_, index) => index);
    const loop = async (): Promise<void> => {
      while (waiting.length > 0 && failures.length === 0) {
        try {
          const place = waiting.findIndex(isReady);
          if (place < 0)
            await condition(() => failures.length > 0 || waiting.length === 0 || waiting.some(isReady));
          else for (const index of waiting.splice(place, 1)) await work(index);
        } catch (error) {
          failures.push(error);
          scope.cancel();
        }
      }
    };
    await Promise.all(Array.from({ length: Math.max(1, Math.min(parallelism, count)) }, loop));
  });
  if (failures.length > 0) {
    // The first error is the cause. Work that it cancelled fails later, with a cancellation.
    throw failures.find((failure) => !isCancellation(failure)) ?? failures[0];
  }
}

/**
 * Runs `work` until a deadline; the UI shows its timer as `summary`. The deadline cancels `work`. If `work` then ends by that
 * cancellation, `late` is thrown; any other end of it stands.
 */
export async function withDeadline<T>(
  deadline: { readonly afterMs: number; readonly summary: string; readonly late: () => Error },
  work: () => Promise<T>,
): Promise<T> {
  const scope = new CancellationScope();
  const timer = new CancellationScope();
  let isLate = false;
  const watching = timer
    .run(async () => {
      await sleep(deadline.afterMs, { summary: deadline.summary });
      isLate = true;
      scope.cancel();
    })
    .catch(ignoreCancellation);
  try {
    return await scope.run(work);
  } catch (error) {
    throw isLate && isCancellation(error) ? deadline.late() : error;
  } finally {
    timer.cancel();
    await watching;
  }
}
