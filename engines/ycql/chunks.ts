import type { ChunkSpec } from '../../model/backup.ts';
import { BUCKETS, bucketExpression, bucketOf, rangeBounds, selectStatement, type Tablet } from './dialect.ts';
import { isOverload, isReadFailure } from './errors.ts';
import { quoteName } from './identifiers.ts';
import type { RawPage } from './raw-pages.ts';
import { rowsOf } from './rows.ts';
import { FIRST_PAGE_ROWS, PAGE_GROWTH } from './scan.ts';
import type { TableSchema } from './schema.ts';
import type { CqlSession } from './session.ts';

/** At how many places in the range of buckets rows are read to learn their density. */
const SAMPLES = 4;
/** The most rows, and the most bytes, that are read at one place. */
const SAMPLE_ROWS = 2_000;
const SAMPLE_BYTES = 1024 * 1024;

/** A table on its way into chunks. */
export interface TableToCut {
  readonly keyspace: string;
  readonly table: TableSchema;
  readonly selectors: readonly string[];
  readonly tablets: readonly Tablet[];
  readonly estimatedBytes: number;
}

/**
 * Estimates the bytes of a table's rows as CQL sends them, since neither server reports a table's size over CQL. Reads rows at a few places. The
 * share of all buckets that these rows span gives the table's size. Exact for a table that fits the first place. A place that can't be read doesn't
 * count: the scan itself goes round it.
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
    const found = await samplePlace(session, statement, selectors.length + 1, { from, end }, signal);
    if (found === undefined) continue;
    // The first sample may run to the end of the table. If it does, it read all rows.
    if (found.isWhole && sample === 0) return found.bytes;
    bytes += found.bytes;
    buckets += found.isWhole ? end - from : found.lastBucket - from + 1;
  }
  return Math.ceil((bytes * BUCKETS) / Math.max(1, buckets));
}

interface Sample {
  readonly bytes: number;
  /** The place was read to its end. */
  readonly isWhole: boolean;
  readonly lastBucket: number;
}

/**
 * Reads rows at the beginning of a range, [from, end). The first page has few rows, since nothing is known of their size; later ones grow by what
 * was read. Undefined if not even one row can be read.
 */
async function samplePlace(
  session: CqlSession,
  statement: string,
  width: number,
  { from, end }: { readonly from: number; readonly end: number },
  signal: AbortSignal,
): Promise<Sample | undefined> {
  const { product } = session.server;
  const bounds = rangeBounds(product, from, end - 1);
  let [rows, bytes, pageRows, lastBucket] = [0, 0, FIRST_PAGE_ROWS, from];
  let pageState: string | undefined;
  do {
    signal.throwIfAborted();
    let page: RawPage;
    try {
      page = await session.page(statement, bounds, { pageRows, pageState });
    } catch (error) {
      if (!isOverload(error)) throw error;
      // Tombstones between rows make larger pages fail.
      if (pageRows > 1) {
        pageRows = Math.ceil(pageRows / 4);
        continue;
      }
      if (!isReadFailure(error)) throw error;
      return rows === 0 ? undefined : { bytes, isWhole: false, lastBucket };
    }
    rows += page.rows;
    bytes += page.body.length;
    const last = page.rows === 0 ? undefined : [...rowsOf(page, width)].at(-1)?.[0];
    if (last) lastBucket = bucketOf(product, last);
    ({ pageState } = page);
    if (page.rows > 0) {
      const fitting = Math.floor((SAMPLE_BYTES * page.rows) / (4 * Math.max(1, page.body.length)));
      pageRows = Math.max(1, Math.min(fitting, PAGE_GROWTH * pageRows, SAMPLE_ROWS));
    }
    if (pageState === undefined) return { bytes, isWhole: true, lastBucket };
  } while (rows < SAMPLE_ROWS && bytes < SAMPLE_BYTES);
  return { bytes, isWhole: false, lastBucket };
}

/** Cuts one table into ranges of about `chunkBytes`, within its tablets; every row is in exactly one of them. Pure. */
export function cutTable(
  { keyspace, table, selectors, tablets, estimatedBytes }: TableToCut,
  chunkBytes: number,
): readonly Omit<ChunkSpec, 'id'>[] {
  const keys = table.partitionKey.map(({ name }) => quoteName(name));
  const pieces = Math.max(1, Math.ceil(estimatedBytes / chunkBytes));
  // For a small table on many tablets, one chunk covers several tablets that lie side by side.
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

/** Cuts [from, end) into at most `pieces` parts of about equal length, none empty. Both ends of each part are included. */
function cuts(from: number, end: number, pieces: number): readonly Range[] {
  const length = end - from;
  const count = Math.max(1, Math.min(length, pieces));
  return Array.from({ length: count }, (_, index) => ({
    from: from + Math.floor((index * length) / count),
    to: from + Math.floor(((index + 1) * length) / count) - 1,
  }));
}

/** Cuts all tables, largest first, as a restore will load them. Ids are `t<table>-c<chunk>`. Pure. */
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
