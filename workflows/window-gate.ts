import { sleep } from '@temporalio/workflow';
import type { TransferWindow } from '../model/transfer-window.ts';
import { clockText, opensAt } from '../planning/transfer-window.ts';

/** Lets the loops of a transfer begin their next task only while the plan's window is open. Several may wait: they share one timer. */
export class WindowGate {
  readonly #window: TransferWindow;
  readonly #changed: (pausedUntil: string | undefined) => Promise<void>;
  #opening: Promise<void> | undefined;
  #pausedUntil: string | undefined;

  /** @param changed called when the window is found closed, and once it is open again, with `pausedUntil` */
  constructor(window: TransferWindow, changed: (pausedUntil: string | undefined) => Promise<void>) {
    this.#window = window;
    this.#changed = changed;
  }

  /** When the window opens, in words. Undefined while nothing waits for it. */
  get pausedUntil(): string | undefined {
    return this.#pausedUntil;
  }

  /** Returns when the window is open: at once, or after a timer. */
  async pass(): Promise<void> {
    if (this.#opening === undefined) {
      if (opensAt(this.#window, Date.now()) === undefined) return;
      this.#opening = this.#untilOpen().finally(() => {
        this.#opening = undefined;
      });
    }
    await this.#opening;
  }

  async #untilOpen(): Promise<void> {
    for (;;) {
      const opensAtMs = opensAt(this.#window, Date.now());
      if (opensAtMs === undefined) break;
      this.#pausedUntil = clockText(this.#window, opensAtMs);
      await this.#changed(this.#pausedUntil);
      await sleep(Math.max(1, opensAtMs - Date.now()), { summary: `window: opens at ${this.#pausedUntil}` });
    }
    this.#pausedUntil = undefined;
    await this.#changed(undefined);
  }
}
