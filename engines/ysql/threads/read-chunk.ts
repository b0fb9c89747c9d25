import type { ChunkSpec } from '../../../model/backup.ts';
import { permanent } from '../../../model/errors.ts';
import { BINARY_HEADER, BINARY_TRAILER } from '../../../repository/copy-binary.ts';
import { PartBuilder } from '../../threads/part-builder.ts';
import type { ThreadContext } from '../../threads/serve.ts';
import { copyOut, type RowFormat } from '../copy-out.ts';
import { copyToStatement } from '../copy-statements.ts';
import { refusedValue } from '../server/errors.ts';
import { tableName } from '../server/identifiers.ts';
import { dataEncoding, withReader } from '../server/reader.ts';
import { readingTable } from '../slices/unlocked-tables.ts';
import type { ReadJob } from './jobs.ts';

/** Reads a chunk into parts. Memory: one part's compressed text, which is used for the next part again, and four blocks. */
export async function readChunk(job: ReadJob, thread: ThreadContext): Promise<void> {
  const { chunk, target, readPoint } = job;
  const { database } = chunk.table;
  await withReader(target, database, readPoint, thread.signal, async (session) => {
    const statement = copyToStatement(chunk, await dataEncoding(session));
    const doing = `read ${tableName(chunk.table)} of database "${database}" (chunk ${chunk.id})`;
    const format = chunk.binary === undefined ? 'text' : 'binary';
    const part = new PartBuilder(job.zstdLevel);
    let bytes = 0;
    const blocks = withoutKeyValues(chunk, doing, copyOut(session, statement, doing, thread.signal, format));
    await readingTable(session, { target, readPoint, table: chunk.table }, thread.signal, async () => {
      for await (const block of blocks) {
        if (part.rows > 0 && part.bytes + block.data.length > job.partBytes)
          await deliver(part, format, thread);
        if (part.rows === 0 && format === 'binary') part.add(BINARY_HEADER, 0);
        part.add(block.data, block.rows);
        bytes += block.data.length;
        thread.progress(bytes);
      }
    });
    if (part.rows > 0) await deliver(part, format, thread);
    part.release();
  });
}

/** A range of keys names values of rows, and the server repeats one that it refuses: that must reach neither a log nor a history. */
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

async function deliver(part: PartBuilder, format: RowFormat, thread: ThreadContext): Promise<void> {
  if (format === 'binary') part.add(BINARY_TRAILER, 0);
  await thread.deliver(part.finish());
  part.restart();
}
