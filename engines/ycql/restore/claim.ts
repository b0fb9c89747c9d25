import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError, transient } from '../../../model/errors.ts';
import type { Journal } from './journal.ts';

/** An attempt writes only where it knew itself as the last one at most this long ago. */
const KNOWN_FOR_MS = 2_000;
/** After this time a write whose outcome is not known has ended. It is longer than the servers' own timeouts for writes. */
export const SETTLED_AFTER_MS = 3_000;
const LOOKS = 12;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 4_000;

const SUPERSEDED = 'RESTORE_SUPERSEDED';

/**
 * Which attempt may write. One that stood still for a while, or that Temporal didn't hear any more, is followed by another while it
 * still runs, and would go on writing: elements of lists and counts would be there twice, and rows might be overwritten that others
 * have changed since. So each attempt notes its own mark in the journal, and looks whether it still stands there before it writes.
 */
export class Claim {
  /** No earlier attempt has begun. */
  readonly isFirst: boolean;
  readonly #journal: Journal;
  readonly #item: string;
  readonly #mark: string;
  readonly #signal: AbortSignal;
  #known: Moment;
  #looking: Promise<void> | undefined;

  private constructor(journal: Journal, item: string, { mark, signal, known, isFirst }: Made) {
    this.#journal = journal;
    this.#item = item;
    this.#mark = mark;
    this.#signal = signal;
    this.#known = known;
    this.isFirst = isFirst;
  }

  /** Undefined where the item is noted as done. */
  static async take(journal: Journal, item: string, signal: AbortSignal): Promise<Claim | undefined> {
    for (;;) {
      signal.throwIfAborted();
      const noted = await journal.get(item);
      if (noted !== undefined && !isRequest(noted)) return undefined;
      const mark = `${CLAIMED} ${randomUUID()}`;
      const known = moment();
      if (await journal.exchange(item, noted, mark)) {
        return new Claim(journal, item, { mark, signal, known, isFirst: noted === undefined });
      }
    }
  }

  /** Waits until the attempt before this one, should it still run, has seen that it is over, and what it sent has ended. */
  async outwait(): Promise<void> {
    if (this.isFirst) return;
    await sleep(KNOWN_FOR_MS + SETTLED_AFTER_MS, undefined, { signal: this.#signal });
  }

  /** To be called just before each write. Throws `RESTORE_SUPERSEDED` (transient) where another attempt has taken over. */
  async check(): Promise<void> {
    // Again where the machine stood still while it was looked.
    while (since(this.#known) >= KNOWN_FOR_MS) {
      this.#looking ??= this.#look().finally(() => {
        this.#looking = undefined;
      });
      await this.#looking;
    }
  }

  /** Notes the item as done. */
  async end(value: string): Promise<void> {
    if (!(await this.#journal.exchange(this.#item, this.#mark, value))) throw this.#superseded();
  }

  async #look(): Promise<void> {
    let pauseMs = FIRST_PAUSE_MS;
    for (let attempt = 1; ; attempt += 1) {
      const known = moment();
      try {
        if ((await this.#journal.get(this.#item)) !== this.#mark) throw this.#superseded();
        this.#known = known;
        return;
      } catch (error) {
        const mayPass = error instanceof HoldfastError && error.transient && error.code !== SUPERSEDED;
        if (!mayPass || attempt === LOOKS) throw error;
        await sleep(pauseMs, undefined, { signal: this.#signal });
        pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
      }
    }
  }

  #superseded(): HoldfastError {
    return transient(
      SUPERSEDED,
      `Another attempt has taken over what is noted as "${this.#item}"`,
      'Nothing is to be done: this attempt was taken for dead, and the other goes on.',
    );
  }
}

interface Made {
  readonly mark: string;
  readonly signal: AbortSignal;
  readonly known: Moment;
  readonly isFirst: boolean;
}

const CLAIMED = 'begun';

/** Whether a note says that work on an item has begun, and not what came of it. */
export function isRequest(noted: string): boolean {
  return noted.startsWith(CLAIMED);
}

/** Time is taken from two clocks: one of them may stand still with the machine, and the other may be set back. */
interface Moment {
  readonly steady: number;
  readonly ofDay: number;
}

function moment(): Moment {
  return { steady: performance.now(), ofDay: Date.now() };
}

function since({ steady, ofDay }: Moment): number {
  return Math.max(performance.now() - steady, Date.now() - ofDay);
}
