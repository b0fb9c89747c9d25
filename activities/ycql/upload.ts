import { createHash } from 'node:crypto';
import type { ChunkSpec, DataObject, ReadPoint } from '../../model/backup.ts';
import { permanent, READ_POINT_LOST } from '../../model/errors.ts';
import type { YcqlSource } from '../../model/pipeline.ts';
import {
  type CqlPageColumn,
  type CqlPageHeader,
  encodePageFileHeader,
  encodePageHead,
} from '../../repository/cql-pages.ts';
import { FrameCompressor } from '../../repository/zstd-frames.ts';
import { ChunkStore } from '../data-objects.ts';
import type { BackupContext } from '../engine.ts';
import { whileBeating } from '../heartbeat.ts';
import { readTable } from './catalog.ts';
import { firstToken, rangeBounds, readTablets, selectStatement } from './dialect.ts';
import { pageColumns } from './reading.ts';
import { scan, type TimedPage } from './scan.ts';
import { fingerprintOf, type TableSchema } from './schema.ts';
import { type CqlSession, withSession } from './session.ts';
import { resolveTarget } from './target.ts';

/**
 * Reads one chunk page by page into objects. Memory: the chunk's compressed pages, once more while they are put together, and two
 * pages: while one is compressed, the next comes in.
 */
export async function upload(
  verb: BackupContext,
  source: YcqlSource,
  readPoint: ReadPoint,
  chunk: ChunkSpec,
  options: { readonly zstdLevel: number },
): Promise<readonly DataObject[]> {
  const target = await resolveTarget(verb, source);
  return await withSession(verb, target, source, (session) =>
    whileBeating(verb, async (tell) => {
      const place = await placeOf(session, chunk, verb.signal);
      const stored = await ChunkStore.open(verb, readPoint, chunk, '.cql.zst');
      const objects: DataObject[] = [];
      let part: ObjectBuilder | undefined;
      const finishPart = async (finished: ObjectBuilder) => {
        part = undefined;
        objects.push(await finished.store(stored));
      };
      let rows = 0;
      try {
        for await (const page of pagesOf(verb, session, source, chunk, place)) {
          if (part !== undefined && part.bytes + page.body.length > source.chunkBytes) await finishPart(part);
          part ??= new ObjectBuilder(options.zstdLevel, place.header);
          await part.add(page);
          rows += page.rows;
          tell({ chunk: chunk.id, rows });
        }
        if (part !== undefined) await finishPart(part);
      } finally {
        part?.abandon();
      }
      return objects;
    }),
  );
}

interface Place {
  readonly table: TableSchema;
  readonly header: CqlPageHeader;
  /** A node that has the range. */
  readonly host: string | undefined;
}

async function placeOf(session: CqlSession, chunk: ChunkSpec, signal: AbortSignal): Promise<Place> {
  const { database: keyspace, table: name } = chunk.table;
  const table = await readTable(session, keyspace, name, signal);
  const columns = table === undefined ? undefined : pageColumns(table, chunk.columns);
  if (table === undefined || columns === undefined) throw schemaChanged(chunk);
  return {
    table,
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
  if (session.server.product === 'cassandra') return session.replicaOfToken(keyspace, firstToken(from));
  const tablets = await readTablets(session, keyspace, table, signal);
  return tablets.find((tablet) => tablet.from <= from && from <= tablet.to)?.leader;
}

async function* pagesOf(
  verb: BackupContext,
  session: CqlSession,
  source: YcqlSource,
  chunk: ChunkSpec,
  { table, header, host }: Place,
): AsyncGenerator<TimedPage> {
  const { product } = session.server;
  const { from, to } = rangeOf(chunk);
  const { database: keyspace, table: name } = chunk.table;
  const pages = scan(session, {
    statement: selectStatement(product, keyspace, table, chunk.columns),
    params: rangeBounds(product, from, to),
    pageRows: source.load.pageRows,
    host,
    doing: `read ${keyspace}.${name}, partition hashes ${from} to ${to} (chunk ${chunk.id})`,
    signal: verb.signal,
    log: verb.log,
  });
  try {
    for await (const page of pages) {
      if (!sameColumns(header.columns, page.columns.length)) throw schemaChanged(chunk);
      yield page;
    }
  } catch (error) {
    // A column or the table may have gone while it was read.
    const now = await readTable(session, keyspace, name, verb.signal);
    if (now === undefined || fingerprintOf(now) !== fingerprintOf(table)) throw schemaChanged(chunk, error);
    throw error;
  }
}

function sameColumns(columns: readonly CqlPageColumn[], came: number): boolean {
  return columns.length === came;
}

function rangeOf({ range }: ChunkSpec): { readonly from: number; readonly to: number } {
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

/** One object under construction: compressed and hashed as its pages come. */
class ObjectBuilder {
  rows = 0;
  bytes = 0;
  readFromMs = Number.POSITIVE_INFINITY;
  readToMs = 0;
  readonly #pieces: Buffer[] = [];
  readonly #hash = createHash('sha256');
  readonly #compressor: FrameCompressor;
  #header: Buffer | undefined;

  constructor(level: number, header: CqlPageHeader) {
    this.#header = encodePageFileHeader(header);
    this.#compressor = new FrameCompressor(level, (piece) => {
      this.#hash.update(piece);
      this.#pieces.push(piece);
    });
  }

  async add(page: TimedPage): Promise<void> {
    const head = encodePageHead(page);
    if (this.#header !== undefined) {
      await this.#write(this.#header);
      this.#header = undefined;
    }
    await this.#write(head);
    await this.#write(page.body);
    this.rows += page.rows;
    this.readFromMs = Math.min(this.readFromMs, page.readAtMs);
    this.readToMs = Math.max(this.readToMs, Date.now());
  }

  async #write(block: Buffer): Promise<void> {
    this.bytes += block.length;
    await this.#compressor.write(block);
  }

  async store(chunk: ChunkStore): Promise<DataObject> {
    await this.#compressor.finish();
    return {
      ...(await chunk.put(Buffer.concat(this.#pieces), this.#hash.digest('hex'))),
      ...{ rows: this.rows, bytes: this.bytes, format: 'cql-pages' },
      readAt: {
        from: new Date(this.readFromMs).toISOString(),
        to: new Date(this.readToMs).toISOString(),
      },
    };
  }

  abandon(): void {
    this.#compressor.abandon();
  }
}
