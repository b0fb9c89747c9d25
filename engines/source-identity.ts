import { createHash } from 'node:crypto';
import type { EngineName } from '../model/pipeline.ts';

/**
 * The id of a server in a `SourceIdentity`: equal if engine and addresses are equal. One server under two addresses counts as two.
 *
 * @param addresses `host:port`, in any order and case
 */
export function serverId(engine: EngineName, addresses: readonly string[]): string {
  const parts = [engine, ...addresses.map((address) => address.toLowerCase()).sort()];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}
