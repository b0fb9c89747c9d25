import type { ChunkSpec, DataObject, LogicalReadPoint } from '../../model/backup.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import type { BackupContext } from '../engine.ts';
import { whileBeating } from '../heartbeat.ts';
import { inLane } from './lanes/lanes.ts';
import type { Part } from './lanes/protocol.ts';
import { resolveTarget } from './session.ts';

/** Streams one chunk into objects: a lane reads it into parts, each of which is put here. */
export async function upload(
  verb: BackupContext,
  source: YsqlSource,
  readPoint: LogicalReadPoint,
  chunk: ChunkSpec,
  { zstdLevel }: { readonly zstdLevel: number },
): Promise<readonly DataObject[]> {
  const target = await resolveTarget(verb, source.connection);
  const sent = verb.attempt > 1 ? await sentBefore(verb, readPoint, chunk) : new Set<string>();
  const objects: DataObject[] = [];
  await whileBeating(verb, (tell) =>
    inLane(
      { kind: 'read', target, readPoint, chunk, partBytes: source.chunkBytes, zstdLevel },
      {
        signal: verb.signal,
        onProgress: (bytes) => tell({ chunk: chunk.id, bytes }),
        onPart: async (part) => {
          objects.push(await store(verb, readPoint, chunk, objects.length, part, sent));
        },
      },
    ),
  );
  return objects;
}

async function store(
  verb: BackupContext,
  readPoint: LogicalReadPoint,
  chunk: ChunkSpec,
  position: number,
  { body, sha256, rows, bytes }: Part,
  sent: ReadonlySet<string>,
): Promise<DataObject> {
  const key = `${chunkPrefix(readPoint, chunk)}${position}-${sha256.slice(0, 12)}.copy.zst`;
  if (!sent.has(`${key} ${body.length}`)) {
    await verb.store.put(verb.folder + key, body, { sha256, ifAbsent: true, signal: verb.signal });
  }
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
