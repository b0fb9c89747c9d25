import { elementsOf, type RawCell } from './rows.ts';

/** The longest time to live that both servers take, in seconds, since it is bound as an int. */
const LONGEST_TTL_SECONDS = 2 ** 31 - 1;

/**
 * The seconds of a TTL as a server sent it: an int from Cassandra, a bigint from YugabyteDB (`ttl` is INT64 in its src/yb/bfql/directory.cc).
 * Backups made before Holdfast knew this also hold the server's bytes, but their header says int. So the length decides. Throws `RangeError` for
 * any other length.
 */
export function ttlSeconds(cell: Buffer): number {
  if (cell.length === 4) return cell.readInt32BE(0);
  if (cell.length === 8) return Math.min(Number(cell.readBigInt64BE(0)), LONGEST_TTL_SECONDS);
  throw new RangeError(`a TTL has 4 or 8 bytes, not ${cell.length}`);
}

/** Seconds that a cell, or each of its elements, has left; undefined: never expires. Empty for a null cell. */
export function ttlsIn(cell: RawCell, perElement: boolean): readonly (number | undefined)[] {
  if (cell === null) return [];
  const ttls = perElement ? elementsOf(cell) : [cell];
  return ttls.map((ttl) => (ttl === null ? undefined : ttlSeconds(ttl)));
}
