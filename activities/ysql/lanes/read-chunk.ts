import { PartBuilder } from '../../lanes/part-builder.ts';
import type { LaneContext } from '../../lanes/serve.ts';
import { copyOut } from '../copy-out.ts';
import { copyToStatement } from '../copy-statements.ts';
import { tableName } from '../identifiers.ts';
import { dataEncoding, withReader } from '../reader.ts';
import type { ReadJob } from './jobs.ts';

/** Reads a chunk into parts. Memory: one part's compressed text, which is used for the next part again, and four blocks. */
export async function readChunk(job: ReadJob, lane: LaneContext): Promise<void> {
  const { chunk, target, readPoint } = job;
  const { database } = chunk.table;
  await withReader(target, database, readPoint, lane.signal, async (session) => {
    const statement = copyToStatement(chunk, await dataEncoding(session));
    const doing = `read ${tableName(chunk.table)} of database "${database}" (chunk ${chunk.id})`;
    const part = new PartBuilder(job.zstdLevel);
    let bytes = 0;
    for await (const block of copyOut(session, statement, doing, lane.signal)) {
      if (part.rows > 0 && part.bytes + block.data.length > job.partBytes) await deliver(part, lane);
      part.add(block.data, block.rows);
      bytes += block.data.length;
      lane.progress(bytes);
    }
    if (part.rows > 0) await deliver(part, lane);
    part.release();
  });
}

async function deliver(part: PartBuilder, lane: LaneContext): Promise<void> {
  await lane.deliver(part.finish());
  part.restart();
}
