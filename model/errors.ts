/**
 * The one error hierarchy of Holdfast. Every failure says what happened, to what, and what to do; whether a
 * retry can help is decided at the edge where the error arises (a store, a database), nowhere else.
 */
export class HoldfastError extends Error {
  override readonly name: string = 'HoldfastError';
  /** Stable identifier, e.g. `STORE_NO_BUCKET`; becomes the type of a Temporal failure and `error.code` in JSON. */
  readonly code: string;
  /** True when the same call may succeed later (network, overload, restart). */
  readonly transient: boolean;
  /** What a person does about it, one sentence. */
  readonly remedy: string;
  /** Of a transient failure: this many times in a row with the same message, it counts as permanent. Absent: never. */
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

/** A failure that a retry can't mend: bad input, missing permission, damaged data. */
export function permanent(code: string, message: string, remedy: string, cause?: unknown): HoldfastError {
  return new HoldfastError(code, message, { remedy, transient: false, cause });
}

/** A failure that passes: network, overload, a server that restarts. */
export function transient(code: string, message: string, remedy: string, cause?: unknown): HoldfastError {
  return new HoldfastError(code, message, { remedy, transient: true, cause });
}

const MAX_EQUAL = 3;

/**
 * A failure that may pass, and that the statement causes rather than the connection: a view reads a foreign server that is down, or a
 * statement reaches a limit. The same message three times in a row counts as permanent.
 */
export function doubtful(code: string, message: string, remedy: string, cause?: unknown): HoldfastError {
  return new HoldfastError(code, message, { remedy, transient: true, maxEqual: MAX_EQUAL, cause });
}

/** A plan names a database or keyspace that the universe doesn't have. */
export const UNIVERSE_NO_DATABASE = 'UNIVERSE_NO_DATABASE';

/** SQLSTATE of a connection to a database that isn't there. The message of such a failure quotes it, as `SQLSTATE 3D000`. */
export const NO_SUCH_DATABASE = '3D000';

/** The read point is gone (its holder died, or history was collected): the workflow starts a new epoch. */
export const READ_POINT_LOST = 'READ_POINT_LOST';

/** What a Temporal failure carries as details. Its message is both, joined. */
export interface FailureDetails {
  readonly problem: string;
  readonly remedy: string;
}

export function isFailureDetails(value: unknown): value is FailureDetails {
  return typeof value === 'object' && value !== null && 'problem' in value && 'remedy' in value;
}

/** The message of anything thrown, without its stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
