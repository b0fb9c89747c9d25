import type { ChunkSpec } from '../../../model/backup.ts';
import { permanent, READ_POINT_LOST } from '../../../model/errors.ts';
import type { YcqlSource } from '../../../model/pipeline.ts';
import {
  type CqlPageHeader,
  encodePageFileHeader,
  encodePageHead,
} from '../../../repository/backups/cql-pages.ts';
import { freeMemory } from '../../../repository/free-memory.ts';
import { PartBuilder } from '../../threads/part-builder.ts';
import type { ThreadContext } from '../../threads/serve.ts';
import { readDefinition } from '../catalog.ts';
import { firstToken, readTablets } from '../dialect.ts';
import type { RawPage } from '../raw-pages.ts';
import { readRange, type Unread } from '../read-range.ts';
import { checkAnswer, pageColumns } from '../reading.ts';
import { RowEnds } from '../row-ends.ts';
import { type RawCell, RowWalk, sameCells } from '../rows.ts';
import type { TimedPage } from '../scan.ts';
import { fingerprintOf, type TableSchema } from '../schema.ts';
import type { CqlSession } from '../session.ts';
import { withSession } from '../shared-session.ts';
import type { ReadJob } from './jobs.ts';

/**
 * The most stored bytes of a part, since a part is in memory, as are two for each thread of a restore. Without it, rows that can't be compressed,
 * such as cells of a megabyte, would make a part as large as the chunk.
 */
const STORED_BYTES_AT_MOST = 24 * 1024 * 1024;

/**
 * Reads a chunk page by page into parts. Memory: the compressed pages of one part, reused for the next, and two pages: while one is compressed, the
 * next comes in. Throws `READ_POINT_LOST` (permanent) if the table changed since the schema was read.
 */
export async function readChunk(
  { chunk, target, source, limit, zstdLevel }: ReadJob,
  thread: ThreadContext,
): Promise<void> {
  const read = async (session: CqlSession) => {
    const place = await placeOf(session, chunk, thread.signal);
    const part = new PagePart(zstdLevel, place.header);
    const partitions = place.table.statics.length === 0 ? undefined : new PartitionEnds(place.header);
    const ends = endsOf(place);
    let rows = 0;
    for await (const page of pagesOf(thread, session, source, chunk, place)) {
      if ('unread' in page) {
        part.unread.push(page.unread);
        continue;
      }
      countMarkers(part, page, ends, place.header.columns.length);
      const continues = partitions?.goesOnIn(page) ?? false;
      // An incompressible page adds all its bytes, and a page with one large row may fill a part by itself.
      const isFull =
        part.bytes + page.body.length > source.chunkBytes ||
        part.storedBytes + page.body.length > STORED_BYTES_AT_MOST;
      if (part.rows > 0 && isFull) {
        await part.deliver(thread);
        part.continued = continues;
      }
      part.add(page);
      if (page.ownsMemory) freeMemory(page.body.buffer);
      rows += page.rows;
      thread.progress(rows);
    }
    if (part.rows > 0 || part.unread.length > 0) await part.deliver(thread);
    part.release();
  };
  await withSession(thread, target, source, read, limit);
}

interface Place {
  readonly table: TableSchema;
  /** The table's fingerprint before the first row was read. */
  readonly fingerprint: string;
  readonly header: CqlPageHeader;
  /** A node that has the range. */
  readonly host: string | undefined;
}

async function placeOf(session: CqlSession, chunk: ChunkSpec, signal: AbortSignal): Promise<Place> {
  const { database: keyspace, table: name } = chunk.table;
  const found = await readDefinition(session, keyspace, name, signal);
  if (found === undefined) throw schemaChanged(chunk);
  const { table, types } = found;
  const columns = pageColumns(session.server.product, table, chunk.columns);
  if (columns === undefined) throw schemaChanged(chunk);
  return {
    table,
    fingerprint: fingerprintOf(table, types),
    header: { keyspace, table: name, columns },
    host: await hostOf(session, chunk, signal),
  };
}

/** On YugabyteDB the leader of the range's tablet; on Cassandra a replica of the range. */
async function hostOf(
  session: CqlSession,
  chunk: ChunkSpec,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { database: keyspace, table } = chunk.table;
  const { from } = rangeOf(chunk);
  if (session.server.product === 'cassandra') return session.nodes.replicaOfToken(keyspace, firstToken(from));
  const tablets = await readTablets(session, keyspace, table, signal);
  return tablets.find((tablet) => tablet.from <= from && from <= tablet.to)?.leader;
}

async function* pagesOf(
  thread: ThreadContext,
  session: CqlSession,
  source: YcqlSource,
  chunk: ChunkSpec,
  { table, fingerprint, header, host }: Place,
): AsyncGenerator<TimedPage | Unread> {
  const range = rangeOf(chunk);
  const { database: keyspace, table: name } = chunk.table;
  const pages = readRange(session, {
    keyspace,
    table,
    range,
    host,
    selectors: chunk.columns,
    columns: header.columns,
    pageRows: source.load.pageRows,
    doing: `read ${keyspace}.${name}, partition hashes ${range.from} to ${range.to} (chunk ${chunk.id})`,
    signal: thread.signal,
    log: thread.log,
  });
  try {
    for await (const page of pages) {
      if ('unread' in page) {
        yield page;
        continue;
      }
      if (header.columns.length !== page.columns.length) throw schemaChanged(chunk);
      checkAnswer(`${keyspace}.${name}`, header.columns, page);
      yield page;
    }
  } catch (error) {
    // The error may come from a column or table that was dropped meanwhile.
    const now = await readDefinition(session, keyspace, name, thread.signal);
    if (now === undefined || fingerprintOf(now.table, now.types) !== fingerprint)
      throw schemaChanged(chunk, error);
    throw error;
  }
}

function rangeOf({ range }: ChunkSpec): Extract<ChunkSpec['range'], { readonly kind: 'hash' }> {
  if (range.kind === 'hash') return range;
  throw new TypeError(`a chunk of YCQL has a range of hashes, not ${range.kind}`);
}

function schemaChanged({ table: { database, table } }: ChunkSpec, cause?: unknown): Error {
  return permanent(
    READ_POINT_LOST,
    `The definition of ${database}.${table} changed while it was read`,
    'Everything is read again with the new definition; run the backup while no schema changes run.',
    cause,
  );
}

/** Undefined if a row of the table has no marker that outlives its cells, or nothing else, which is a loss of the whole table. */
function endsOf({ table, header }: Place): RowEnds | undefined {
  const hasMarkers = table.isCompact !== true && !table.isCounter && table.regulars.length > 0;
  return hasMarkers ? new RowEnds(header.columns) : undefined;
}

/** Counts rows that may outlive all of their cells, or have none. A partition that has only static columns doesn't count: it has no row marker. */
function countMarkers(part: PagePart, page: RawPage, ends: RowEnds | undefined, width: number): void {
  if (ends === undefined) return;
  const row = new RowWalk(page, width);
  const cell = (at: number) => row.cell(at);
  while (row.next()) {
    if (!ends.isRow(cell)) continue;
    if (ends.isBare(cell)) part.bare += 1;
    else if (ends.endOf(cell, 0) !== undefined) part.expiring += 1;
  }
}

/** Detects whether a page begins within the partition that the page before ended with. */
class PartitionEnds {
  readonly #width: number;
  readonly #keyAt: readonly number[];
  #last: readonly RawCell[] | undefined;

  constructor({ columns }: CqlPageHeader) {
    this.#width = columns.length;
    this.#keyAt = columns.flatMap(({ kind }, at) => (kind === 'partition_key' ? [at] : []));
  }

  /** Whether this page begins within the last partition of the page before. Call it for every page, in order. */
  goesOnIn(page: RawPage): boolean {
    const row = new RowWalk(page, this.#width);
    if (!row.next()) return false;
    const key = () => this.#keyAt.map((at) => row.cell(at));
    const isSame = sameCells(key(), this.#last);
    while (row.next());
    // The walk is still at the last row. Its key is copied, since it is kept longer than the page's memory.
    this.#last = key().map((cell) => (cell === null ? null : Buffer.from(cell)));
    return isSame;
  }
}

/** Builds one part, which begins with the header. */
class PagePart {
  /** The part's first partition began in the part before. */
  continued = false;
  /** What of its range could not be read. */
  unread: string[] = [];
  /** Rows all of whose cells expire. */
  expiring = 0;
  /** Rows that are nothing but their key. */
  bare = 0;
  readonly #header: CqlPageHeader;
  readonly #builder: PartBuilder;
  #fromMs = Number.POSITIVE_INFINITY;
  #toMs = 0;

  constructor(level: number, header: CqlPageHeader) {
    this.#header = header;
    this.#builder = new PartBuilder(level);
  }

  get rows(): number {
    return this.#builder.rows;
  }

  get storedBytes(): number {
    return this.#builder.storedBytes;
  }

  get bytes(): number {
    return this.#builder.bytes;
  }

  add(page: TimedPage): void {
    const { rows, body, readAtMs } = page;
    const head = encodePageHead(page);
    this.#builder.add(this.rows === 0 ? Buffer.concat([this.#fileHeader(), head]) : head, 0);
    this.#builder.add(body, rows);
    this.#fromMs = Math.min(this.#fromMs, readAtMs);
    this.#toMs = Math.max(this.#toMs, Date.now());
  }

  /** Hands the part over and begins the next one. */
  async deliver(thread: ThreadContext): Promise<void> {
    // A part without rows, which only names what could not be read, has a header too.
    if (this.rows === 0) this.#builder.add(this.#fileHeader(), 0);
    const [fromMs, toMs] = this.#toMs === 0 ? [Date.now(), Date.now()] : [this.#fromMs, this.#toMs];
    const readAt = { from: new Date(fromMs).toISOString(), to: new Date(toMs).toISOString() };
    const { expiring, bare, unread } = this;
    await thread.deliver({
      ...this.#builder.finish(),
      readAt,
      ...(expiring === 0 ? {} : { expiring }),
      ...(bare === 0 ? {} : { bare }),
      ...(unread.length === 0 ? {} : { unread }),
    });
    this.#builder.restart();
    this.expiring = 0;
    this.bare = 0;
    this.unread = [];
    this.#fromMs = Number.POSITIVE_INFINITY;
    this.#toMs = 0;
  }

  release(): void {
    this.#builder.release();
  }

  #fileHeader(): Buffer {
    return encodePageFileHeader(this.continued ? { ...this.#header, continued: true } : this.#header);
  }
}
