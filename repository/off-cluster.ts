import { z } from 'zod';
import { offClusterKey } from './layout.ts';
import { sha256Hex } from './sha256.ts';
import { getTrustedIfThere, replaceSigned } from './signing/signed-object.ts';
import type { Cancellable, Store } from './store.ts';

/**
 * A stretch of time in which every look at a database found the same schema. Times are ISO 8601 in UTC, by the universe's clock.
 */
export interface SchemaSpan {
  /** Hash of the schema. */
  readonly schema: string;
  /** Catalog version at the last look, and when that version was first seen. Absent for YCQL. */
  readonly version?: string;
  readonly versionSince?: string;
  /** Time of the first look. Nobody knows whether the schema was the same before. */
  readonly since: string;
  /** Time of the last look. */
  readonly until: string;
}

/** What is remembered of a database with history off the cluster, so that no restore goes back past a change of its schema. */
export interface SchemaWatch {
  readonly plan: string;
  /** `ysql.orders` */
  readonly namespace: string;
  /** Oldest first. The last one is still going on. */
  readonly spans: readonly SchemaSpan[];
  /**
   * Restorations of the schedule's snapshots that were known at the last look. A new one means that the database was taken back in
   * place.
   */
  readonly restorations: readonly string[];
}

const watchSchema: z.ZodType<SchemaWatch> = z.object({
  plan: z.string(),
  namespace: z.string(),
  spans: z.array(
    z.object({
      schema: z.string(),
      version: z.string().exactOptional(),
      versionSince: z.iso.datetime({ offset: true }).exactOptional(),
      since: z.iso.datetime({ offset: true }),
      until: z.iso.datetime({ offset: true }),
    }),
  ),
  restorations: z.array(z.string()),
});

/**
 * What is remembered of a database. Undefined where nothing is, and in a signed repository where no trusted key signed it: what it says gets into signed
 * manifests. Throws `STORE_DAMAGED` (permanent).
 */
export function readSchemaWatch(
  store: Store,
  plan: string,
  namespace: string,
  options: Cancellable = {},
): Promise<SchemaWatch | undefined> {
  return getTrustedIfThere(store, keyOf(plan, namespace), watchSchema, options);
}

/** Writes what to remember of a database, and replaces an earlier record. Throws in a signed repository as `Signing.sign`. */
export function writeSchemaWatch(store: Store, watch: SchemaWatch, options: Cancellable = {}): Promise<void> {
  return replaceSigned(store, keyOf(watch.plan, watch.namespace), watch, options);
}

/** The key contains a hash, since a namespace's name may have any character. */
function keyOf(plan: string, namespace: string): string {
  return offClusterKey(plan, sha256Hex(Buffer.from(namespace)).slice(0, 16));
}
