import { zstdCompressSync } from 'node:zlib';
import { PackWriter, packsOfBackup } from '../../engines/pack-writer.ts';
import type { ChunkSpec, DataObject, ObjectEntry, TaskResult, TransferTask } from '../../model/backup.ts';
import type { ManifestDatabase } from '../../model/manifest.ts';
import type { StoredManifest } from '../../repository/backups/manifest.ts';
import {
  findTaskResult,
  readBatch,
  readTaskResults,
  writeTaskResult,
  writeWorkList,
} from '../../repository/backups/work.ts';
import { type ManifestDraft, writeManifest } from '../../repository/backups/write-manifest.ts';
import { type BackupId, backupFolder } from '../../repository/layout.ts';
import { ensureRepository } from '../../repository/repository.ts';
import { sweepBackup } from '../../repository/retention/sweep.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import type { Store } from '../../repository/store.ts';

/** How a writer goes about it; two writers of one backup may differ in both. */
export interface WriterSettings {
  readonly epoch: number;
  /** Into how many chunks it cuts each table. */
  readonly chunks: number;
  /** All chunks are one task, so that their objects travel in a pack. */
  readonly packed?: boolean;
}

export const SAMPLE: BackupId = { plan: 'orders', backup: '20261123T020000Z-sample' };
export const SAMPLE_ROWS = { orders: 12, 'order lines': 30 };

/**
 * Writes a backup as a worker does, in its order: repository, schema, work list, data and results, manifest, sweep. It may
 * be stopped at any operation and be called again.
 */
export async function writeSampleBackup(
  store: Store,
  settings: WriterSettings = { epoch: 1, chunks: 3 },
  ref: BackupId = SAMPLE,
  takenAt = '2026-11-23T02:00:01.000Z',
): Promise<StoredManifest> {
  await ensureRepository(store);
  const schemaObjects = [
    await putNamed(store, ref, `schema/0/pre-data`, 'CREATE TABLE orders ();\n'),
    await putNamed(store, ref, `schema/0/post-data`, 'CREATE INDEX ON orders ();\n'),
  ];
  const database: ManifestDatabase = {
    name: 'shop',
    owner: 'shop',
    encoding: 'UTF8',
    collate: 'C',
    ctype: 'C',
    schemaObjects,
    tables: Object.keys(SAMPLE_ROWS).map((table) => ({
      schema: 'public',
      table,
      rows: 0,
      bytes: 0,
      objects: 0,
    })),
  };
  const common = [await putNamed(store, ref, 'globals', 'CREATE ROLE shop;\n')];
  const description = {
    server: { product: 'postgresql', version: '15.18' },
    databases: [database],
    commonObjects: common,
  } as const;
  const workList = await writeWorkList(store, ref, settings.epoch, description, tasksOf(settings));
  for (const [batch] of workList.shards.entries()) {
    for (const task of await readBatch(store, ref, workList, batch)) {
      if ((await findTaskResult(store, ref, workList.epoch, task.index)) !== undefined) continue;
      await writeTaskResult(store, ref, workList.epoch, await upload(store, ref, workList.epoch, task));
    }
  }
  const draft: ManifestDraft = {
    ...ref,
    engine: 'ysql',
    pipelineHash: '0'.repeat(64),
    writtenBy: { holdfast: '0.1.0', host: 'worker-1' },
    startedAt: '2026-11-23T02:00:00.000Z',
    completedAt: new Date().toISOString(),
    server: workList.server,
    readPoint: {
      kind: 'pg-snapshot',
      epoch: settings.epoch,
      snapshots: { shop: '00000003-0000001B-1' },
      takenAt,
    },
    contents: 'all',
    databases: workList.databases,
    commonObjects: workList.commonObjects,
  };
  const results = await Array.fromAsync(readTaskResults(store, ref, workList));
  const packs = results.flatMap((result) => result.packs ?? []);
  const written = await writeManifest(
    store,
    { ...draft, ...(packs.length === 0 ? {} : { packs }) },
    results.flatMap(({ objects }) => objects),
    { limits: { inlineObjects: 2, objectsPerList: 4 } },
  );
  await sweepBackup(store, ref);
  return written;
}

function tasksOf({ chunks, packed = false }: WriterSettings): readonly TransferTask[] {
  const tables = Object.entries(SAMPLE_ROWS);
  const alone = tables.flatMap(([table, rows], tableIndex) =>
    Array.from({ length: chunks }, (_, chunk) => ({
      index: tableIndex * chunks + chunk,
      chunks: [
        {
          id: `t${tableIndex}-c${chunk}of${chunks}`,
          table: { database: 'shop', schema: 'public', table },
          columns: ['"id"', '"note"'],
          range: {
            kind: 'ctid' as const,
            from: Math.floor((rows * chunk) / chunks),
            to: Math.floor((rows * (chunk + 1)) / chunks),
          },
          estimatedBytes: 1_000,
        },
      ],
    })),
  );
  return packed ? [{ index: 0, chunks: alone.flatMap((task) => task.chunks) }] : alone;
}

async function upload(store: Store, ref: BackupId, epoch: number, task: TransferTask): Promise<TaskResult> {
  const objects: DataObject[] = [];
  const context = { store, folder: backupFolder(ref), signal: new AbortController().signal };
  const packs =
    task.chunks.length > 1 ? new PackWriter(packsOfBackup(context, { epoch }, task.index), 100) : undefined;
  for (const chunk of task.chunks) {
    const { body, ...counts } = rowsOf(chunk);
    const place =
      packs === undefined
        ? await putNamed(store, ref, `data/e${epoch}/${chunk.id}`, body)
        : { ...(await packs.add(body, sha256Hex(body))), sizeBytes: body.length, sha256: sha256Hex(body) };
    objects.push({ ...place, table: chunk.table, columns: chunk.columns, ...counts });
  }
  const stored = (await packs?.finish(objects)) ?? { objects };
  packs?.release();
  return { index: task.index, ...stored };
}

/** One "block" holds one row here. */
function rowsOf(chunk: ChunkSpec) {
  if (chunk.range.kind !== 'ctid' || chunk.range.to === null) throw new Error('not a chunk of the sample');
  const { from, to } = chunk.range;
  const rows = Array.from({ length: to - from }, (_, row) => `${from + row}\tnote ${from + row}\n`);
  const text = Buffer.from(rows.join(''));
  return { body: zstdCompressSync(text), rows: rows.length, bytes: text.length };
}

/** Under a name that holds its hash, as every object must be that a manifest may name. */
async function putNamed(
  store: Store,
  ref: BackupId,
  name: string,
  content: string | Uint8Array,
): Promise<ObjectEntry> {
  const body = Buffer.from(content);
  const sha256 = sha256Hex(body);
  const key = `${name}-${sha256.slice(0, 16)}`;
  await store.put(backupFolder(ref) + key, body, { sha256, ifAbsent: true });
  return { key, sizeBytes: body.length, sha256 };
}
