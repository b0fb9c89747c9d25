import type { YcqlSource } from '../../../model/pipeline.ts';
import type { TableSchema } from '../schema.ts';
import type { Server } from '../session.ts';

/** How a target takes rows back. */
export interface WritingRules {
  readonly writeTimes: boolean;
  /** False where `USING TTL` is refused (YugabyteDB's transactional tables). */
  readonly ttls: boolean;
  /**
   * Collections are written as wholes only, which replaces what was there whatever its time: YugabyteDB takes no time of writing
   * for a part of one, and compares times of writing with "not before" (cql_operation.cc and doc_write_batch.cc, DocDB).
   */
  readonly wholeCollections: boolean;
}

/** How a table's rows are written to this target. */
export function writingRules(
  { writeTimes }: Pick<YcqlSource, 'writeTimes'>,
  { product }: Server,
  table: TableSchema,
): WritingRules {
  if (product === 'cassandra')
    return { writeTimes: writeTimes !== 'none', ttls: true, wholeCollections: false };
  return {
    // There a time of writing costs a read for each write, so it is kept only when it is asked for.
    writeTimes: writeTimes === 'always',
    // TTLs and transactions exclude each other.
    ttls: table.yugabyte?.transactions !== true,
    wholeCollections: true,
  };
}
