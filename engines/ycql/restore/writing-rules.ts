import type { RestoreRequest } from '../../../model/backup.ts';
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
  /**
   * Rows are written as new over what may be there: what a row of the backup lacks is taken away from the target's, and collections
   * take the place of those that are there.
   */
  readonly replaces: boolean;
}

/** What a request says of how its rows are written. */
export type WritingWishes = Pick<RestoreRequest, 'asNew' | 'contents'>;

/** How a table's rows are written to this target. */
export function writingRules(
  { writeTimes }: Pick<YcqlSource, 'writeTimes'>,
  { product }: Server,
  table: TableSchema,
  { asNew = false, contents }: WritingWishes,
): WritingRules {
  // On YugabyteDB a time of writing costs a read for each write, so it is kept only when it is asked for.
  const isKept = product === 'cassandra' ? writeTimes !== 'none' : writeTimes === 'always';
  const keepsTimes = isKept && !asNew;
  return {
    writeTimes: keepsTimes,
    // There TTLs and transactions exclude each other.
    ttls: product === 'cassandra' || table.yugabyte?.transactions !== true,
    wholeCollections: product === 'yugabytedb',
    replaces: contents === 'data' && !keepsTimes,
  };
}
