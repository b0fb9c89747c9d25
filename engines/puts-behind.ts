/** Bodies of at most this size are put behind, bytes. What is waiting is copied, so it bounds the memory: half a MiB a task. */
export const SMALL_BODY_BYTES = 64 * 1024;

const PUT_AT_ONCE = 8;

/**
 * Puts of one task's small objects that go on while the next rows are read: a store takes its time for each, however small. They have
 * failed or ended when `settled` has returned, and only then may the task be noted as done.
 */
export class PutsBehind {
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  /** Begins a put as soon as fewer than eight are under way. Throws what an earlier one failed with. */
  async begin(put: () => Promise<unknown>): Promise<void> {
    while (this.#running.size >= PUT_AT_ONCE) await Promise.race(this.#running);
    this.#throwFailure();
    const running: Promise<void> = put()
      .then(() => undefined)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Waits until none is under way. Throws what the first one failed with. */
  async settled(): Promise<void> {
    await this.ended();
    this.#throwFailure();
  }

  /** Waits until none is under way, whatever became of them. */
  async ended(): Promise<void> {
    await Promise.all(this.#running);
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
