import { createHash } from 'node:crypto';
import type { ChunkSpec, DataObject, LogicalReadPoint } from '../../model/backup.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import type { BackupContext } from '../engine.ts';
import { whileBeating } from '../heartbeat.ts';
import { FrameCompressor } from '../zstd-frames.ts';
import { copyOut } from './copy-out.ts';
import { copyToStatement } from './copy-statements.ts';
import { tableName } from './identifiers.ts';
import { withReader } from './reader.ts';
import { onlyRow, resolveTarget, type Session } from './session.ts';

/** Text compressed at a time: large enough for the ratio and for the thread pool, small enough for memory. */
const BLOCK_BYTES = 1024 * 1024;

/**
 * Streams one chunk into objects. Memory: the chunk's compressed text, once more while it is put together, and four blocks: while
 * one is compressed, the server's next rows come in.
 */
export async function upload(
  verb: BackupContext,
  source: YsqlSource,
  readPoint: LogicalReadPoint,
  chunk: ChunkSpec,
  options: { readonly zstdLevel: number },
): Promise<readonly DataObject[]> {
  const target = await resolveTarget(verb, source.connection);
  return await withReader(target, chunk.table.database, readPoint, verb.signal, (session) =>
    whileBeating(verb, async (tell) => {
      const statement = copyToStatement(chunk, await dataEncoding(session));
      const sent = verb.attempt > 1 ? await sentBefore(verb, readPoint, chunk) : new Set<string>();
      const objects: DataObject[] = [];
      let part: ObjectBuilder | undefined;
      const finishPart = async (finished: ObjectBuilder) => {
        part = undefined;
        objects.push(await store(verb, readPoint, chunk, objects.length, finished, sent));
      };
      const doing = `read ${tableName(chunk.table)} of database "${chunk.table.database}" (chunk ${chunk.id})`;
      let bytes = 0;
      try {
        for await (const block of copyOut(session, statement, BLOCK_BYTES, doing, verb.signal)) {
          if (part !== undefined && part.bytes + block.data.length > source.chunkBytes)
            await finishPart(part);
          part ??= new ObjectBuilder(options.zstdLevel);
          await part.add(block.data, block.rows);
          bytes += block.data.length;
          tell({ chunk: chunk.id, bytes });
        }
        if (part !== undefined) await finishPart(part);
      } finally {
        part?.abandon();
      }
      return objects;
    }),
  );
}

/** Name of the encoding in which a database's rows are stored in the backup. */
export async function dataEncoding(session: Session): Promise<string> {
  const rows = await session.query<{ server_encoding: string }>('read the encoding', 'SHOW server_encoding');
  return onlyRow(rows, 'its encoding').server_encoding;
}

/** One object under construction: compressed and hashed as its text comes. */
class ObjectBuilder {
  rows = 0;
  bytes = 0;
  readonly #pieces: Buffer[] = [];
  readonly #hash = createHash('sha256');
  readonly #compressor: FrameCompressor;

  constructor(level: number) {
    this.#compressor = new FrameCompressor(level, (piece) => {
      this.#hash.update(piece);
      this.#pieces.push(piece);
    });
  }

  /** Takes whole rows; resolves when the block may be overwritten. */
  async add(block: Buffer, rows: number): Promise<void> {
    this.rows += rows;
    this.bytes += block.length;
    await this.#compressor.write(block);
  }

  async finish(): Promise<{ readonly body: Buffer; readonly sha256: string }> {
    await this.#compressor.finish();
    return { body: Buffer.concat(this.#pieces), sha256: this.#hash.digest('hex') };
  }

  abandon(): void {
    this.#compressor.abandon();
  }
}

async function store(
  verb: BackupContext,
  readPoint: LogicalReadPoint,
  chunk: ChunkSpec,
  part: number,
  builder: ObjectBuilder,
  sent: ReadonlySet<string>,
): Promise<DataObject> {
  const { body, sha256 } = await builder.finish();
  const key = `${chunkPrefix(readPoint, chunk)}${part}-${sha256.slice(0, 12)}.copy.zst`;
  if (!sent.has(`${key} ${body.length}`)) {
    await verb.store.put(verb.folder + key, body, { sha256, ifAbsent: true, signal: verb.signal });
  }
  const { rows, bytes } = builder;
  return { key, sizeBytes: body.length, sha256, table: chunk.table, columns: chunk.columns, rows, bytes };
}

function chunkPrefix(readPoint: LogicalReadPoint, chunk: ChunkSpec): string {
  return `data/e${readPoint.epoch}/${chunk.id}-`;
}

/** What an earlier attempt stored of this chunk, as `key size`: names hold the hash, so it need not be sent again. */
async function sentBefore(
  verb: BackupContext,
  readPoint: LogicalReadPoint,
  chunk: ChunkSpec,
): Promise<ReadonlySet<string>> {
  const sent = new Set<string>();
  const prefix = verb.folder + chunkPrefix(readPoint, chunk);
  for await (const { key, sizeBytes } of verb.store.list(prefix, { signal: verb.signal })) {
    sent.add(`${key.slice(verb.folder.length)} ${sizeBytes}`);
  }
  return sent;
}
