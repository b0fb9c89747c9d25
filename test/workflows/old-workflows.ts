/** What a worker hosts that knows nothing of `doctor`. */
export async function backup(): Promise<void> {
  await Promise.resolve();
}
