/**
 * Calls `work` for every item, at most `concurrency` at once, and takes items only as they are needed. After the first failure it
 * begins no further item, and throws that failure when those under way have ended.
 */
export async function forEachBounded<T>(
  items: Iterable<T> | AsyncIterable<T>,
  concurrency: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const running = new Set<Promise<void>>();
  const failures: unknown[] = [];
  for await (const item of items) {
    if (failures.length > 0) break;
    const call: Promise<void> = work(item)
      .catch((error: unknown) => {
        failures.push(error);
      })
      .finally(() => running.delete(call));
    running.add(call);
    if (running.size >= concurrency) await Promise.race(running);
  }
  await Promise.all(running);
  if (failures.length > 0) throw failures[0];
}

/** The results of `work` in the order of `items`. At most `concurrency` are under way or waiting to be taken. */
export async function* mapBounded<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  concurrency: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const ahead: Promise<PromiseSettledResult<R>>[] = [];
  try {
    for await (const item of items) {
      // Settled at once. Otherwise a result that fails while an earlier one is awaited would be an unhandled rejection.
      ahead.push(settled(work(item)));
      if (ahead.length >= concurrency) yield await taken(ahead);
    }
    while (ahead.length > 0) yield await taken(ahead);
  } finally {
    await Promise.all(ahead);
  }
}

async function settled<R>(call: Promise<R>): Promise<PromiseSettledResult<R>> {
  const [outcome] = await Promise.allSettled([call]);
  return outcome;
}

async function taken<R>(ahead: Promise<PromiseSettledResult<R>>[]): Promise<R> {
  const outcome = await ahead.shift();
  if (outcome === undefined) throw new RangeError('nothing is under way');
  if (outcome.status === 'rejected') throw outcome.reason;
  return outcome.value;
}
