import type { ChunkSpec } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import { BINARY_HEADER, BINARY_TRAILER } from '../../../repository/backups/copy-binary.ts';
import { PartBuilder } from '../../threads/part-builder.ts';
import type { Part } from '../../threads/protocol.ts';
import type { ThreadContext } from '../../threads/serve.ts';
import { type CopyBlock, copyOut } from '../copy-out.ts';
import { copyToStatement } from '../copy-statements.ts';
import { refusedValue } from '../server/errors.ts';
import { tableName } from '../server/identifiers.ts';
import { dataEncoding, withReader } from '../server/reader.ts';
import { readingTable } from '../slices/unlocked-tables.ts';
import type { ReadJob } from './jobs.ts';

/**
 * Parts of several chunks are handed over together once they have this many stored bytes: handing over each small part by itself would cost more than
 * reading it.
 */
const LENT_TOGETHER_BYTES = 512 * 1024;

/**
 * Reads chunks into parts, one after another. It holds in memory one part's compressed text, or the small parts that are handed over together, and
 * four blocks; it reuses this memory for the next parts.
 */
export async function readChunks(job: ReadJob, thread: ThreadContext): Promise<void> {
  const part = new PartBuilder(job.zstdLevel);
  let finished: Part[] = [];
  const lend = async (): Promise<void> => {
    if (finished.length > 0) await thread.deliver(...finished);
    finished = [];
    part.restart();
  };
  let bytes = 0;
  const passed = (more: number): void => {
    bytes += more;
    thread.progress(bytes);
  };
  for (const [index, chunk] of job.chunks.entries()) {
    const finish = (): void => {
      if (chunk.binary !== undefined) part.add(BINARY_TRAILER, 0);
      finished.push({ ...part.finish(), chunk: index });
      part.next();
    };
    await readChunk(job, chunk, thread.signal, async (block) => {
      if (part.rows > 0 && part.bytes + block.data.length > job.partBytes) {
        finish();
        await lend();
      }
      if (part.rows === 0 && chunk.binary !== undefined) part.add(BINARY_HEADER, 0);
      part.add(block.data, block.rows);
      passed(block.data.length);
    });
    if (part.rows > 0) finish();
    if (part.storedBytes > LENT_TOGETHER_BYTES) await lend();
  }
  await lend();
  part.release();
}

async function readChunk(
  { target, readPoint }: ReadJob,
  chunk: ChunkSpec,
  signal: AbortSignal,
  take: (block: CopyBlock) => Promise<void>,
): Promise<void> {
  const { database } = chunk.table;
  await withReader(target, database, readPoint, signal, async (session) => {
    const statement = copyToStatement(chunk, await dataEncoding(session));
    const doing = `read ${tableName(chunk.table)} of database "${database}" (chunk ${chunk.id})`;
    const format = chunk.binary === undefined ? 'text' : 'binary';
    const blocks = withoutKeyValues(chunk, doing, copyOut(session, statement, doing, signal, format));
    await readingTable(session, { target, readPoint, table: chunk.table }, signal, async () => {
      for await (const block of blocks) await take(block);
    });
  });
}

/** Hides values of rows in errors. A key range contains such values, and the server quotes one that it refuses; neither logs nor histories may contain it. */
async function* withoutKeyValues<T>(
  chunk: ChunkSpec,
  doing: string,
  blocks: AsyncIterable<T>,
): AsyncGenerator<T> {
  try {
    yield* blocks;
  } catch (error) {
    const state = chunk.range.kind === 'key' ? refusedValue(error) : undefined;
    if (state === undefined) throw error;
    throw permanent(
      'YSQL_FAILED',
      `Failed to ${doing}: the server refuses a value of the key at which the table was cut (SQLSTATE ${state})`,
      'Run the backup again: the table is cut anew. If this repeats, report it with the type of the primary key.',
    );
  }
}
