import type { ChunkSpec, DataObject, LogicalReadPoint } from '../../model/backup.ts';
import { defined } from '../../model/defined.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import { ChunkStore } from '../data-objects.ts';
import type { BackupContext } from '../engine.ts';
import { partsOf } from '../tell-parts.ts';
import { resolveTarget } from './server/session.ts';
import { threads } from './thread-pool.ts';

/** Streams chunks into objects, one after another. A thread reads them into parts, and this function stores each part. */
export async function upload(
  verb: BackupContext,
  source: YsqlSource,
  readPoint: LogicalReadPoint,
  chunks: readonly ChunkSpec[],
  { zstdLevel }: { readonly zstdLevel: number },
): Promise<readonly DataObject[]> {
  const target = await resolveTarget(verb, source.connection);
  const places = defined({ packs: verb.packs, shared: verb.shared });
  const stores = chunks.map((chunk) => {
    const { binary } = chunk;
    return binary === undefined
      ? { stored: new ChunkStore(verb, readPoint, chunk, '.copy.zst', places), format: {} }
      : {
          stored: new ChunkStore(verb, readPoint, chunk, '.binary.zst', places),
          format: { format: 'copy-binary', types: binary.types } as const,
        };
  });
  const objects: DataObject[] = [];
  const moved = partsOf(verb, 'UploadPart');
  await threads.run(
    { kind: 'read', target, readPoint, chunks, partBytes: source.chunkBytes, zstdLevel },
    {
      signal: verb.signal,
      onProgress: (bytes) => verb.heartbeat({ chunk: chunks[0]?.id, bytes }),
      onPart: async ({ chunk = 0, body, sha256, rows, bytes }) => {
        const of = stores[chunk];
        if (of === undefined) throw new Error(`a part of chunk ${chunk} of ${chunks.length}`);
        const object = { ...(await of.stored.put(body, sha256)), ...of.format, rows, bytes };
        objects.push(object);
        moved(object, chunks[chunk]?.id);
      },
    },
  );
  return objects;
}
