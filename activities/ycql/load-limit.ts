import { setTimeout as sleep } from 'node:timers/promises';
import type { YcqlSource } from '../../model/pipeline.ts';

/** Bounds what this process asks of one cluster: requests under way, and rows in a second. */
export class LoadLimit {
  readonly #load: YcqlSource['load'];
  #underWay = 0;
  readonly #waiting: (() => void)[] = [];
  /** When the rows so far are paid for, in milliseconds of `performance.now()`. */
  #paidUntilMs = 0;

  constructor(load: YcqlSource['load']) {
    this.#load = load;
  }

  /** Requests that may be under way at once over `nodes` nodes. */
  inFlight(nodes: number): number {
    return this.#load.inFlightPerNode * nodes;
  }

  /** Runs a request when its turn has come. */
  async request<T>(nodes: number, send: () => Promise<T>): Promise<T> {
    while (this.#underWay >= this.inFlight(nodes)) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#underWay += 1;
    try {
      return await send();
    } finally {
      this.#underWay -= 1;
      this.#waiting.shift()?.();
    }
  }

  /** Waits as long as `rows` more rows must take together with those of the other lanes. */
  async pay(rows: number, signal: AbortSignal): Promise<void> {
    const { rowsPerSecond } = this.#load;
    if (rowsPerSecond === undefined || rows === 0) return;
    const now = performance.now();
    this.#paidUntilMs = Math.max(now, this.#paidUntilMs) + (rows * 1_000) / rowsPerSecond;
    const waitMs = this.#paidUntilMs - now;
    if (waitMs > 1) await sleep(waitMs, undefined, { signal });
  }
}
