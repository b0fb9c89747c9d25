import type { ChunkSpec } from '../../model/backup.ts';
import { BUCKETS, bucketExpression, bucketOf, rangeBounds, selectStatement, type Tablet } from './dialect.ts';
import { isOverload } from './errors.ts';
import { quoteName } from './identifiers.ts';
import type { RawPage } from './raw-pages.ts';
import { rowsOf } from './rows.ts';
import type { TableSchema } from './schema.ts';
import type { CqlSession } from './session.ts';

/** Places in the range of buckets where a page is read to learn how densely rows lie. */
const SAMPLES = 4;
const SAMPLE_ROWS = 2_000;

/** A table on its way into chunks. */
export interface TableToCut {
  readonly keyspace: string;
  readonly table: TableSchema;
  readonly selectors: readonly string[];
  readonly tablets: readonly Tablet[];
  readonly estimatedBytes: number;
}

/**
 * Bytes of a table's rows as CQL sends them, estimated: a page is read at a few places, and how many buckets it reaches over says
 * how many pages there are. Exact for a table that fits a page. Neither server tells the size of a table over CQL.
 */
export async function estimateBytes(
  session: CqlSession,
  keyspace: string,
  table: TableSchema,
  selectors: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  const { product } = session.server;
  const statement = selectStatement(product, keyspace, table, [
    bucketExpression(product, table),
    ...selectors,
  ]);
  let bytes = 0;
  let buckets = 0;
  for (let sample = 0; sample < SAMPLES; sample += 1) {
    const from = Math.floor((sample * BUCKETS) / SAMPLES);
    const end = sample === 0 ? BUCKETS : Math.floor(((sample + 1) * BUCKETS) / SAMPLES);
    signal.throwIfAborted();
    const bounds = rangeBounds(product, from, end - 1);
    const page = await samplePage(session, statement, bounds);
    bytes += page.body.length;
    if (page.pageState === undefined) {
      // The first sample runs to the end of the table: if it ends, that was all of it.
      if (sample === 0) return page.body.length;
      buckets += end - from;
      continue;
    }
    const last = [...rowsOf(page, selectors.length + 1)].at(-1)?.[0];
    buckets += Math.max(1, (last ? bucketOf(product, last) : from) - from + 1);
  }
  return Math.ceil((bytes * BUCKETS) / Math.max(1, buckets));
}

/** A page with as many rows as the server can give: tombstones between them make large ones fail. */
async function samplePage(
  session: CqlSession,
  statement: string,
  bounds: readonly Buffer[],
): Promise<RawPage> {
  for (let pageRows = SAMPLE_ROWS; ; pageRows = Math.floor(pageRows / 4)) {
    try {
      return await session.page(statement, bounds, { pageRows });
    } catch (error) {
      if (!isOverload(error) || pageRows < 4) throw error;
    }
  }
}

/** Cuts one table into ranges of about `chunkBytes`, within its tablets; every row is in exactly one of them. Pure. */
export function cutTable(
  { keyspace, table, selectors, tablets, estimatedBytes }: TableToCut,
  chunkBytes: number,
): readonly Omit<ChunkSpec, 'id'>[] {
  const keys = table.partitionKey.map(({ name }) => quoteName(name));
  const pieces = Math.max(1, Math.ceil(estimatedBytes / chunkBytes));
  // A small table on many tablets: several tablets to a chunk, where they lie side by side.
  const ranges =
    pieces >= tablets.length
      ? tablets.flatMap((tablet) => pieceRanges(tablet, pieces))
      : cuts(0, BUCKETS, pieces);
  return ranges.map(({ from, to }) => ({
    table: { database: keyspace, schema: keyspace, table: table.name },
    columns: selectors,
    range: { kind: 'hash', keys, from, to },
    estimatedBytes: Math.ceil((estimatedBytes * (to - from + 1)) / BUCKETS),
  }));
}

function pieceRanges({ from, to }: Tablet, pieces: number): readonly Range[] {
  const share = Math.max(1, Math.round((pieces * (to - from + 1)) / BUCKETS));
  return cuts(from, to + 1, share);
}

interface Range {
  readonly from: number;
  readonly to: number;
}

/** [from, end) in at most `pieces` parts of about equal length, none empty; both ends of each part included. */
function cuts(from: number, end: number, pieces: number): readonly Range[] {
  const length = end - from;
  const count = Math.max(1, Math.min(length, pieces));
  return Array.from({ length: count }, (_, index) => ({
    from: from + Math.floor((index * length) / count),
    to: from + Math.floor(((index + 1) * length) / count) - 1,
  }));
}

/** Cuts all tables: largest first, as a restore will load them. Ids are `t<table>-c<chunk>`. Pure. */
export function cutTables(tables: readonly TableToCut[], chunkBytes: number): readonly ChunkSpec[] {
  return [...tables]
    .sort((one, other) => other.estimatedBytes - one.estimatedBytes)
    .flatMap((table, tableIndex) =>
      cutTable(table, chunkBytes).map((chunk, chunkIndex) => ({
        ...chunk,
        id: `t${padded(tableIndex)}-c${padded(chunkIndex)}`,
      })),
    );
}

function padded(index: number): string {
  return index.toString().padStart(5, '0');
}
