import { setTimeout as sleep } from 'node:timers/promises';

/** A limit of bytes per second that all transfers of one node share. The unused bytes of up to one second carry over. */
export class RateLimit {
  #bytesPerSecond: number | undefined;
  #allowance = 0;
  #filledAt = performance.now();
  #turn: Promise<void> = Promise.resolve();

  /** @param bytesPerSecond undefined: no limit. The newest value applies to all callers. */
  set(bytesPerSecond: number | undefined): void {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Returns when `bytes` may pass; callers pass in the order in which they ask. Throws the reason of an abort. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#bytesPerSecond === undefined) return;
    const before = this.#turn;
    const turn = Promise.withResolvers<void>();
    this.#turn = turn.promise;
    try {
      await before;
      const rate = this.#bytesPerSecond;
      if (rate === undefined) return;
      const now = performance.now();
      this.#allowance = Math.min(rate, this.#allowance + ((now - this.#filledAt) * rate) / 1_000);
      this.#filledAt = now;
      this.#allowance -= bytes;
      if (this.#allowance < 0) await sleep((-this.#allowance * 1_000) / rate, undefined, { signal });
    } finally {
      turn.resolve();
    }
  }
}
