import { int32, int64 } from './bytes.ts';
import { quoteName, quoteTable } from './identifiers.ts';
import type { Server } from './nodes.ts';
import type { TableSchema } from './schema.ts';
import type { CqlSession } from './session.ts';

/**
 * How many buckets the hashes of partition keys are cut into. YugabyteDB hashes a key into 16 bits; of Cassandra's tokens the first 16 bits count.
 */
export const BUCKETS = 65_536;

/** The condition for a range of buckets, both ends included. Its parameters are those of `rangeBounds`. */
export function rangeCondition(product: Server['product'], keys: readonly string[]): string {
  const list = keys.map(quoteName).join(', ');
  const hashed = product === 'yugabytedb' ? `partition_hash(${list})` : `token(${list})`;
  return `${hashed} >= ? AND ${hashed} <= ?`;
}

/**
 * The bounds of a range of buckets. On YugabyteDB they are the buckets themselves (int): bounds within a bucket aren't safe there, since only the
 * first 16 bits of a token count. On Cassandra they are the tokens (bigint) of the same buckets: bucket b begins at (b xor 0x8000) << 48.
 */
export function rangeBounds(product: Server['product'], from: number, to: number): readonly [Buffer, Buffer] {
  if (product === 'yugabytedb') return [int32(from), int32(to)];
  const last = to === BUCKETS - 1 ? (1n << 63n) - 1n : firstToken(to + 1) - 1n;
  return [int64(firstToken(from)), int64(last)];
}

/** The first token of a bucket, on Cassandra. Buckets are in the order of tokens: bucket 0 begins at the smallest. */
export function firstToken(bucket: number): bigint {
  return BigInt(bucket - BUCKETS / 2) << 48n;
}

/** The bucket of a token or hash that the server returned. */
export function bucketOf(product: Server['product'], cell: Buffer): number {
  if (product === 'yugabytedb') return cell.readInt32BE(0);
  return Number(cell.readBigInt64BE(0) >> 48n) + BUCKETS / 2;
}

/** The expression that selects a row's hash or token, from which `bucketOf` gets its bucket. */
export function bucketExpression(product: Server['product'], { partitionKey }: TableSchema): string {
  const list = partitionKey.map(({ name }) => quoteName(name)).join(', ');
  return product === 'yugabytedb' ? `partition_hash(${list})` : `token(${list})`;
}

/** A SELECT of the selectors over a range of buckets. Its parameters are those of `rangeBounds`. */
export function selectStatement(
  product: Server['product'],
  keyspace: string,
  table: TableSchema,
  selectors: readonly string[],
): string {
  const keys = table.partitionKey.map(({ name }) => name);
  return `SELECT ${selectors.join(', ')} FROM ${quoteTable(keyspace, table.name)} WHERE ${rangeCondition(product, keys)}`;
}

/** A tablet's range of buckets, both ends included, and the node that leads it. */
export interface Tablet {
  readonly from: number;
  readonly to: number;
  readonly leader: string | undefined;
}

interface PartitionRow {
  readonly start_key: Buffer | null;
  readonly end_key: Buffer | null;
  readonly replica_addresses: unknown;
}

/** The tablets of a table, in order. On Cassandra, one that covers everything. */
export async function readTablets(
  session: CqlSession,
  keyspace: string,
  table: string,
  signal: AbortSignal,
): Promise<readonly Tablet[]> {
  const everything = [{ from: 0, to: BUCKETS - 1, leader: undefined }];
  if (session.server.product !== 'yugabytedb') return everything;
  const rows = await session.query<PartitionRow>(
    `list the tablets of ${keyspace}.${table}`,
    'SELECT start_key, end_key, replica_addresses FROM system.partitions WHERE keyspace_name = ? AND table_name = ?',
    [keyspace, table],
    signal,
  );
  const tablets = rows
    .map(({ start_key, end_key, replica_addresses }) => ({
      from: boundOf(start_key) ?? 0,
      to: (boundOf(end_key) ?? BUCKETS) - 1,
      leader: leaderOf(replica_addresses),
    }))
    .sort((one, other) => one.from - other.from);
  // While a tablet splits, the list may briefly have a gap or an overlap. Then ranges are cut without regard to tablets.
  let next = 0;
  for (const { from, to } of tablets) {
    if (from !== next || to < from) return everything;
    next = to + 1;
  }
  return next === BUCKETS ? tablets : everything;
}

/** A bound of a tablet: two bytes, big-endian. Empty means unbounded. */
function boundOf(key: Buffer | null): number | undefined {
  return key === null || key.length < 2 ? undefined : key.readUInt16BE(0);
}

function leaderOf(replicas: unknown): string | undefined {
  if (typeof replicas !== 'object' || replicas === null) return undefined;
  const entries = replicas instanceof Map ? [...replicas] : Object.entries(replicas);
  const leader = entries.find(([, role]) => String(role).toUpperCase() === 'LEADER');
  return leader === undefined ? undefined : String(leader[0]);
}
