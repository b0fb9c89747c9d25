import type { TableDigest } from './shop.ts';

/** The database of the demo: which engine it shows, and which server it runs on. */
export interface DemoDatabase {
  /** Completes "The database is …". */
  readonly part: string;
  /** Completes "Filling …". */
  readonly contents: string;
  /** The plan's `source:`, with its indentation. */
  readonly source: string;
  /** Environment variables that the plan's references name. */
  readonly environment: Readonly<Record<string, string>>;
  /** `host:port` of each tablet server that needs an agent. Absent: none does. */
  readonly nodes?: readonly string[];
  fill(): Promise<void>;
  /** What is done to the original between backup and restore, and what of it is told. Absent: nothing. */
  readonly accident?: { readonly told: string; happens(): Promise<void> };
  /** Digests of the rows; their order doesn't matter. */
  digests(name: string): Promise<readonly TableDigest[]>;
  stop(): Promise<void>;
}

export const ORIGINAL = 'shop';
export const RESTORED = 'shop_restored';
