/** The pause after a failure that a retry can't mend: a person has to act first. It doubles up to the longest while the failure stays. */
const FIRST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 600_000;
/** What fails again later than this had worked meanwhile: it is longer than the longest pause and a try together. */
const SAME_WITHIN_MS = 1_800_000;
/** Of a message, so that what a run hands to the next one is bounded. */
const MESSAGE_AT_MOST = 200;

interface StandingFailure {
  readonly message: string;
  readonly atMs: number;
  readonly pauseMs: number;
}

/** What a run hands to the next one: each failure that stays, by what fails. */
export type CarriedFailures = Readonly<Record<string, StandingFailure>>;

/** Failures that stay until a person mends their cause: each is told once, and tried again ever less often. Times are milliseconds since 1970. */
export class StandingFailures {
  readonly #failures: Map<string, StandingFailure>;

  constructor(carried: CarriedFailures = {}) {
    this.#failures = new Map(Object.entries(carried));
  }

  /** Whether it is another failure than the last one of `what`, and how long to wait before `what` is tried again. */
  note(what: string, failure: string, nowMs: number): { readonly isNew: boolean; readonly pauseMs: number } {
    const message = failure.slice(0, MESSAGE_AT_MOST);
    const before = this.#failures.get(what);
    const isNew = before?.message !== message || !isRecent(before, nowMs);
    const pauseMs = isNew ? FIRST_PAUSE_MS : Math.min(2 * before.pauseMs, LONGEST_PAUSE_MS);
    this.#failures.set(what, { message, atMs: nowMs, pauseMs });
    return { isNew, pauseMs };
  }

  carried(nowMs: number): CarriedFailures {
    return Object.fromEntries([...this.#failures].filter(([, failure]) => isRecent(failure, nowMs)));
  }
}

const isRecent = ({ atMs }: StandingFailure, nowMs: number): boolean => nowMs - atMs < SAME_WITHIN_MS;
