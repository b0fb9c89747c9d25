import type { ChunkSpec, DataObject, LogicalReadPoint } from '../../model/backup.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import { ChunkStore } from '../data-objects.ts';
import type { BackupContext } from '../engine.ts';
import { resolveTarget } from './server/session.ts';
import { threads } from './thread-pool.ts';

/** Streams one chunk into objects: a thread reads it into parts, each of which is put here. */
export async function upload(
  verb: BackupContext,
  source: YsqlSource,
  readPoint: LogicalReadPoint,
  chunk: ChunkSpec,
  { zstdLevel }: { readonly zstdLevel: number },
): Promise<readonly DataObject[]> {
  const target = await resolveTarget(verb, source.connection);
  const { binary } = chunk;
  const ending = binary === undefined ? '.copy.zst' : '.binary.zst';
  const stored = new ChunkStore(verb, readPoint, chunk, ending, verb.packs);
  const format = binary === undefined ? {} : ({ format: 'copy-binary', types: binary.types } as const);
  const objects: DataObject[] = [];
  await threads.run(
    { kind: 'read', target, readPoint, chunk, partBytes: source.chunkBytes, zstdLevel },
    {
      signal: verb.signal,
      onProgress: (bytes) => verb.heartbeat({ chunk: chunk.id, bytes }),
      onPart: async ({ body, sha256, rows, bytes }) => {
        objects.push({ ...(await stored.put(body, sha256)), ...format, rows, bytes });
      },
    },
  );
  return objects;
}
