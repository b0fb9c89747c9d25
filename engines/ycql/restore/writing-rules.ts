import type { RestoreRequest } from '../../../model/backup.ts';
import type { YcqlSource } from '../../../model/pipeline.ts';
import type { Server } from '../nodes.ts';
import type { TableSchema } from '../schema.ts';

/** How rows are written to a target. */
export interface WritingRules {
  readonly writeTimes: boolean;
  /** False if the server refuses `USING TTL` (YugabyteDB's transactional tables). */
  readonly ttls: boolean;
  /**
   * Collections are written only as wholes, which replaces what was there whatever its time. YugabyteDB takes no write time for a part of a
   * collection, and compares write times with "not before" (cql_operation.cc and doc_write_batch.cc, DocDB).
   */
  readonly wholeCollections: boolean;
  /**
   * Rows replace what may be there: columns that a row of the backup lacks are removed from the target's row, and collections replace those that
   * are there.
   */
  readonly replaces: boolean;
}

/** The part of a request that decides how its rows are written. */
export type WritingWishes = Pick<RestoreRequest, 'asNew' | 'contents'>;

/** How a table's rows are written to this target. */
export function writingRules(
  { writeTimes }: Pick<YcqlSource, 'writeTimes'>,
  { product }: Server,
  table: TableSchema,
  { asNew = false, contents }: WritingWishes,
): WritingRules {
  // On YugabyteDB each write with a write time costs a read, so times are kept only on request.
  const isKept = product === 'cassandra' ? writeTimes !== 'none' : writeTimes === 'always';
  const keepsTimes = isKept && !asNew;
  return {
    writeTimes: keepsTimes,
    // On YugabyteDB TTLs and transactions exclude each other.
    ttls: product === 'cassandra' || table.yugabyte?.transactions !== true,
    wholeCollections: product === 'yugabytedb',
    replaces: contents === 'data' && !keepsTimes,
  };
}
