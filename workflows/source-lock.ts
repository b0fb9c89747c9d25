import { exclude, type LockRequest } from '../model/source-lock.ts';
import type { LockState } from './messages.ts';

/** Which runs hold a source and which wait for it. First come, first served: no request passes an earlier one that excludes it. Pure. */
export class SourceLock {
  #holders: readonly LockRequest[];
  #waiting: readonly LockRequest[];
  readonly #notified = new Set<string>();

  constructor({ holders, waiting }: LockState) {
    this.#holders = holders;
    this.#waiting = waiting;
    for (const { holder } of holders) this.#notified.add(holder);
  }

  get state(): LockState {
    return { holders: this.#holders, waiting: this.#waiting };
  }

  get isEmpty(): boolean {
    return this.#holders.length === 0 && this.#waiting.length === 0;
  }

  /** Takes a request. A run may ask again because it missed the answer or was reset; it keeps its place and is answered again. */
  request(request: LockRequest): void {
    if (this.#holders.some(({ holder }) => holder === request.holder)) this.#notified.delete(request.holder);
    else if (!this.#waiting.some(({ holder }) => holder === request.holder))
      this.#waiting = [...this.#waiting, request];
  }

  release(run: string): void {
    this.#holders = this.#holders.filter(({ holder }) => holder !== run);
    this.#waiting = this.#waiting.filter(({ holder }) => holder !== run);
    this.#notified.delete(run);
  }

  /** Grants every request that may begin; returns the runs that have to be notified. */
  grant(): readonly string[] {
    const before: LockRequest[] = [];
    for (const request of this.#waiting) {
      if ([...this.#holders, ...before].some((other) => exclude(request, other))) before.push(request);
      else this.#holders = [...this.#holders, request];
    }
    this.#waiting = before;
    const unaware = this.#holders.map(({ holder }) => holder).filter((holder) => !this.#notified.has(holder));
    for (const holder of unaware) this.#notified.add(holder);
    return unaware;
  }
}
