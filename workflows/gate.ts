import { exclude, type SourceClaim } from '../model/source-claim.ts';
import type { GateState } from './messages.ts';

/** Which runs hold a source and which wait for it. First come, first served: a claim never passes an earlier one that excludes it. Pure. */
export class Gate {
  #holders: readonly SourceClaim[];
  #waiting: readonly SourceClaim[];
  readonly #told = new Set<string>();

  constructor({ holders, waiting }: GateState) {
    this.#holders = holders;
    this.#waiting = waiting;
    for (const { holder } of holders) this.#told.add(holder);
  }

  get state(): GateState {
    return { holders: this.#holders, waiting: this.#waiting };
  }

  get isEmpty(): boolean {
    return this.#holders.length === 0 && this.#waiting.length === 0;
  }

  /** A run may ask again, because it missed the answer or was reset. It keeps its place and is answered again. */
  enter(claim: SourceClaim): void {
    if (this.#holders.some(({ holder }) => holder === claim.holder)) this.#told.delete(claim.holder);
    else if (!this.#waiting.some(({ holder }) => holder === claim.holder))
      this.#waiting = [...this.#waiting, claim];
  }

  leave(run: string): void {
    this.#holders = this.#holders.filter(({ holder }) => holder !== run);
    this.#waiting = this.#waiting.filter(({ holder }) => holder !== run);
    this.#told.delete(run);
  }

  /** Admits every claim that may begin; returns the runs that have to be notified. */
  admit(): readonly string[] {
    const before: SourceClaim[] = [];
    for (const claim of this.#waiting) {
      if ([...this.#holders, ...before].some((other) => exclude(claim, other))) before.push(claim);
      else this.#holders = [...this.#holders, claim];
    }
    this.#waiting = before;
    const untold = this.#holders.map(({ holder }) => holder).filter((holder) => !this.#told.has(holder));
    for (const holder of untold) this.#told.add(holder);
    return untold;
  }
}
