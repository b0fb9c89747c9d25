/** Bodies of at most this many bytes are put in the background. Each is copied meanwhile, so this bounds the copies: half a MiB a task. */
export const SMALL_BODY_BYTES = 64 * 1024;

const PUT_AT_ONCE = 8;

/**
 * Puts small objects of one task in the background, while the next rows are read: each put takes a store some time, however small the object. Call
 * `settled` before the task is noted as done: it returns once all puts have succeeded.
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

  /** Waits until no put is under way. Throws what the first failed one failed with. */
  async settled(): Promise<void> {
    await this.ended();
    this.#throwFailure();
  }

  /** Waits until no put is under way, whether they failed or not. */
  async ended(): Promise<void> {
    await Promise.all(this.#running);
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
