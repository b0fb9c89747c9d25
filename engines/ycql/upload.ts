import type { ChunkSpec, DataObject, ReadPoint } from '../../model/backup.ts';
import type { YcqlSource } from '../../model/pipeline.ts';
import { ChunkStore } from '../data-objects.ts';
import type { BackupContext } from '../engine.ts';
import { partsOf } from '../tell-parts.ts';
import { sharedLimit } from './shared-session.ts';
import { resolveTarget } from './target.ts';
import { threads } from './thread-pool.ts';

/** Reads chunks into objects, one after another. */
export async function upload(
  verb: BackupContext,
  source: YcqlSource,
  readPoint: ReadPoint,
  chunks: readonly ChunkSpec[],
  options: { readonly zstdLevel: number },
): Promise<readonly DataObject[]> {
  const objects: DataObject[] = [];
  for (const chunk of chunks) objects.push(...(await uploadChunk(verb, source, readPoint, chunk, options)));
  return objects;
}

/** Has a thread read the chunk into parts, and puts each part. */
async function uploadChunk(
  verb: BackupContext,
  source: YcqlSource,
  readPoint: ReadPoint,
  chunk: ChunkSpec,
  { zstdLevel }: { readonly zstdLevel: number },
): Promise<readonly DataObject[]> {
  const target = await resolveTarget(verb, source);
  const stored = new ChunkStore(verb, readPoint, chunk, '.cql.zst');
  const objects: DataObject[] = [];
  const moved = partsOf(verb, 'UploadPart');
  await threads.run(
    { kind: 'read', target, source, limit: sharedLimit(target, source), chunk, zstdLevel },
    {
      signal: verb.signal,
      onProgress: (rows) => verb.heartbeat({ chunk: chunk.id, rows }),
      onLog: (message, fields) => verb.log(message, fields),
      onPart: async ({ body, sha256, ...counts }) => {
        const object = { ...(await stored.put(body, sha256)), ...counts, format: 'cql-pages' } as const;
        objects.push(object);
        moved(object, chunk.id);
      },
    },
  );
  return objects;
}
