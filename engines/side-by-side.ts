/**
 * Runs two functions at once. If one fails, aborts the other's signal and waits for its end, so that nothing goes on after this has ended; then
 * throws what failed first.
 */
export async function sideBySide<A, B>(
  signal: AbortSignal,
  one: (signal: AbortSignal) => Promise<A>,
  other: (signal: AbortSignal) => Promise<B>,
): Promise<readonly [A, B]> {
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  const works = [one(both), other(both)] as const;
  try {
    return await Promise.all(works);
  } catch (error) {
    stop.abort(error);
    await Promise.allSettled(works);
    throw error;
  }
}
