import { createHash } from 'node:crypto';
import type { EngineName } from '../model/pipeline.ts';

/**
 * The name of a server in a `SourceIdentity`: equal wherever engine and addresses are. By address: one server under two names counts as
 * two.
 *
 * @param addresses `host:port`, in any order and case
 */
export function serverId(engine: EngineName, addresses: readonly string[]): string {
  const parts = [engine, ...addresses.map((address) => address.toLowerCase()).sort()];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}
