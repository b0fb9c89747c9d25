import type { TableDigest } from './shop.ts';

/** The database that the demo's story is about: what engine it shows, on which real part. */
export interface DemoDatabase {
  /** Completes "Starting …". */
  readonly part: string;
  /** Completes "Filling …". */
  readonly contents: string;
  /** `source:` of the plan, indented as it stands there. */
  readonly source: string;
  /** Variables that the plan's references name. */
  readonly environment: Readonly<Record<string, string>>;
  fill(): Promise<void>;
  /** The same rows give the same digests, whatever their order. */
  digests(name: string): Promise<readonly TableDigest[]>;
  stop(): Promise<void>;
}

export const ORIGINAL = 'shop';
export const RESTORED = 'shop_restored';
