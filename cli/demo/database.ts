import type { TableDigest } from './shop.ts';

/** The database of the demo: which engine it shows, and which real server it runs on. */
export interface DemoDatabase {
  /** Completes "Starting …". */
  readonly part: string;
  /** Completes "Filling …". */
  readonly contents: string;
  /** The plan's `source:`, with its indentation. */
  readonly source: string;
  /** Environment variables that the plan's references name. */
  readonly environment: Readonly<Record<string, string>>;
  fill(): Promise<void>;
  /** Digests of the rows; their order doesn't matter. */
  digests(name: string): Promise<readonly TableDigest[]>;
  stop(): Promise<void>;
}

export const ORIGINAL = 'shop';
export const RESTORED = 'shop_restored';
