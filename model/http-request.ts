import type { HttpOptions } from './pipeline.ts';
import type { SecretRef } from './source.ts';

/** One call of the activity `http`. A step of a plan gives the members of `HttpOptions` alone. */
export interface HttpRequest extends HttpOptions {
  /** Is appended to the path of the address: `/start`, `/fail`. */
  readonly suffix?: string;
  /** Absent: `application/json`. */
  readonly contentType?: string;
  /** The same for every try of one message, so that a receiver can tell a repetition. */
  readonly messageId?: string;
  /** Key of the signature. */
  readonly secret?: SecretRef;
}
