import type { YcqlSource } from '../../../model/pipeline.ts';
import type { TableSchema } from '../schema.ts';
import type { Server } from '../session.ts';

/** How a target takes rows back. */
export interface WritingRules {
  readonly writeTimes: boolean;
  /** False where `USING TTL` is refused (YugabyteDB's transactional tables). */
  readonly ttls: boolean;
}

/** How a table's rows are written to this target. */
export function writingRules(
  { writeTimes }: Pick<YcqlSource, 'writeTimes'>,
  { product }: Server,
  table: TableSchema,
): WritingRules {
  if (product === 'cassandra') return { writeTimes: writeTimes !== 'none', ttls: true };
  // There a time of writing costs a read for each write, so it is kept only when it is asked for; TTLs and transactions exclude each other.
  return { writeTimes: writeTimes === 'always', ttls: table.yugabyte?.transactions !== true };
}
