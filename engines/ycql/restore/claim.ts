import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError, transient } from '../../../model/errors.ts';
import type { Journal } from './journal.ts';

/** An attempt writes only if it has seen itself as the last one within this time. */
const KNOWN_FOR_MS = 2_000;
/** After this time a write whose outcome is unknown has ended. Longer than the servers' own timeouts for writes. */
export const SETTLED_AFTER_MS = 3_000;
const LOOKS = 12;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 4_000;

const SUPERSEDED = 'RESTORE_SUPERSEDED';

/**
 * Decides which attempt may write. If an attempt stands still for a while, or Temporal stops hearing from it, another begins while the first still
 * runs. If both wrote, elements of lists and counts would be there twice, and rows that others have changed since might be overwritten. So each
 * attempt notes a mark of its own in the journal, and checks before it writes that the mark is still there.
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

  /** Notes this attempt's mark for the item. Undefined if the item is noted as done. */
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

  /** Waits until the attempt before this one, if it still runs, has seen that it is superseded, and its writes have ended. */
  async outwait(): Promise<void> {
    if (this.isFirst) return;
    await sleep(KNOWN_FOR_MS + SETTLED_AFTER_MS, undefined, { signal: this.#signal });
  }

  /** Call just before each write. Throws `RESTORE_SUPERSEDED` (transient) if another attempt has taken over. */
  async check(): Promise<void> {
    // Looks again if the machine stood still during the look.
    while (since(this.#known) >= KNOWN_FOR_MS) {
      this.#looking ??= this.#look().finally(() => {
        this.#looking = undefined;
      });
      await this.#looking;
    }
  }

  /** Notes the item as done. Throws `RESTORE_SUPERSEDED` (transient) if another attempt has taken over. */
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

/** Whether a note says only that work on an item has begun, and not how it ended. */
export function isRequest(noted: string): boolean {
  return noted.startsWith(CLAIMED);
}

/** A time by two clocks: one may stand still with the machine, and the other may be set back. */
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
