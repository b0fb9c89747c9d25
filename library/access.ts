import type { Environment } from '../engines/resolve-secret.ts';

/** What the library may look at, and whom it tells. */
export interface Access {
  /** Where the variables stand that plans name as secrets: `process.env`, or any object like it. */
  readonly environment: Environment;
  /** Told what does not stop the work (a damaged backup that is passed over, a note on a decision), a sentence each. */
  readonly tell?: (sentence: string) => void;
}
