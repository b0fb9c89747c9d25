/**
 * The only class of errors in Holdfast. Every failure says what happened, to what, and what to do. Whether a retry can help is
 * decided where the error arises (at a store, at a database), and nowhere else.
 */
export class HoldfastError extends Error {
  override readonly name: string = 'HoldfastError';
  /** Stable identifier, e.g. `STORE_NO_BUCKET`; becomes the type of a Temporal failure and `error.code` in JSON. */
  readonly code: string;
  /** True when the same call may succeed later (network, overload, restart). */
  readonly transient: boolean;
  /** What a person should do about it, one sentence. */
  readonly remedy: string;
  /** After this many failures in a row with the same message, a transient failure counts as permanent. Absent: it never does. */
  readonly maxEqual: number | undefined;

  constructor(
    code: string,
    message: string,
    options: { remedy: string; transient: boolean; maxEqual?: number | undefined; cause?: unknown },
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.transient = options.transient;
    this.remedy = options.remedy;
    this.maxEqual = options.maxEqual;
  }
}

/** Input that can't be worked with: a name that nobody knows, options that exclude each other, a plan file with errors. */
export class UsageError extends HoldfastError {
  override readonly name: string = 'UsageError';
  constructor(message: string, remedy: string) {
    super('USAGE', message, { remedy, transient: false });
  }
}

/** A failure that a retry can't mend: bad input, missing permission, damaged data. */
export function permanent(code: string, message: string, remedy: string, cause?: unknown): HoldfastError {
  return new HoldfastError(code, message, { remedy, transient: false, cause });
}

/** A failure that passes: network, overload, a server that restarts. */
export function transient(code: string, message: string, remedy: string, cause?: unknown): HoldfastError {
  return new HoldfastError(code, message, { remedy, transient: true, cause });
}

/**
 * What `doing` fulfils with, or what `otherwise` makes of its error where that is the expected one: the one with this code, or one that `expected`
 * recognises. Rejects with any other error.
 */
export async function recover<T, U>(
  doing: Promise<T>,
  expected: string | ((error: HoldfastError) => boolean),
  otherwise: (error: HoldfastError) => U | Promise<U>,
): Promise<T | U> {
  try {
    return await doing;
  } catch (error) {
    const isExpected =
      error instanceof HoldfastError &&
      (typeof expected === 'string' ? error.code === expected : expected(error));
    if (!isExpected) throw error;
    return await otherwise(error);
  }
}

const MAX_EQUAL = 3;

/**
 * A transient failure that may come from the statement and not from the connection: a view reads a foreign server that is down, or a
 * statement reaches a limit. After it came three times in a row with the same message, it counts as permanent.
 */
export function doubtful(code: string, message: string, remedy: string, cause?: unknown): HoldfastError {
  return new HoldfastError(code, message, { remedy, transient: true, maxEqual: MAX_EQUAL, cause });
}

/** A plan names a database or keyspace that the universe doesn't have. */
export const UNIVERSE_NO_DATABASE = 'UNIVERSE_NO_DATABASE';

/** SQLSTATE of a connection to a database that doesn't exist. The failure's message contains it, as `SQLSTATE 3D000`. */
export const NO_SUCH_DATABASE = '3D000';

/** The read point is gone (its holder died, or the server collected the history). The workflow then starts a new epoch. */
export const READ_POINT_LOST = 'READ_POINT_LOST';

/** The details of a Temporal failure. Its message is both of them, joined. */
export interface FailureDetails {
  readonly problem: string;
  readonly remedy: string;
}

/** Whether a value is the details of a failure of ours. */
export function isFailureDetails(value: unknown): value is FailureDetails {
  return typeof value === 'object' && value !== null && 'problem' in value && 'remedy' in value;
}

/** The message of anything that was thrown, without a stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
