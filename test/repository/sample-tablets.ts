import type { SavedTablet, SharedObject, TabletList } from '../../model/tablets.ts';
import { findManifest, type StoredManifest } from '../../repository/backups/manifest.ts';
import { type TabletManifestDraft, writeTabletManifest } from '../../repository/backups/write-manifest.ts';
import type { BackupId } from '../../repository/layout.ts';
import { backupFolder } from '../../repository/layout.ts';
import { ObjectIndex, type StoredRange } from '../../repository/objects/object-index.ts';
import { SharedObjectWriter } from '../../repository/objects/object-writer.ts';
import {
  listTabletResults,
  readTabletResult,
  writeTabletResult,
} from '../../repository/objects/tablet-lists.ts';
import { ensureRepository } from '../../repository/repository.ts';
import { sweepBackup } from '../../repository/retention/sweep.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import type { Store } from '../../repository/store.ts';

/** Content of each file of each tablet, by tablet and path. */
export type SampleTablets = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Each file as many tablets with files of which some are alike. @param seed tells one set from another. */
export function sampleTablets(tablets: number, seed: string): SampleTablets {
  return Object.fromEntries(
    Array.from({ length: tablets }, (_, tablet) => [
      `tablet${tablet}`,
      {
        CURRENT: 'MANIFEST-000001\n',
        '000010.sst': `rows of tablet ${tablet}, the same in every backup`,
        '000011.sst': `rows of tablet ${tablet} in ${seed}`,
        'intents/CURRENT': 'MANIFEST-000001\n',
        'intents/000001.log': '',
      },
    ]),
  );
}

/**
 * Writes a backup of tablets as agents and a worker do: for each tablet objects, index and result, then lists and manifest,
 * then the sweep of its folder. It may be stopped at any operation and be called again.
 */
export async function writeTabletBackup(
  store: Store,
  ref: BackupId,
  tablets: SampleTablets,
  startedAt = '2026-11-23T02:00:00.000Z',
): Promise<StoredManifest> {
  await ensureRepository(store);
  const finished = await findManifest(store, ref);
  if (finished === undefined) {
    for (const [task, [tablet, files]] of Object.entries(tablets).entries()) {
      await saveTablet(store, ref, task, tablet, files);
    }
  }
  const results = async function* (): AsyncGenerator<TabletList> {
    for (const key of await listTabletResults(store, ref, 1)) yield await readTabletResult(store, key);
  };
  const written =
    finished ??
    (await writeTabletManifest(store, draftOf(ref, tablets, startedAt), results(), { filesPerList: 7 }));
  await sweepBackup(store, ref);
  return written;
}

async function saveTablet(
  store: Store,
  ref: BackupId,
  task: number,
  tablet: string,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  const writer = await SharedObjectWriter.open(store, new ObjectIndex(store));
  const pieces = Object.values(files).map((text) => {
    const body = Buffer.from(text);
    return { body, sha256: sha256Hex(body) };
  });
  const ranges = new Map<string, StoredRange>();
  const unsent = new Map<string, (typeof pieces)[number]>();
  for (const piece of pieces) {
    if (piece.body.length === 0) continue;
    const found = await writer.find(piece.sha256, piece.body.length);
    if (found === undefined) unsent.set(piece.sha256, piece);
    else ranges.set(piece.sha256, found);
  }
  if (unsent.size > 0) {
    const sent = [...unsent.values()];
    for (const [place, range] of (await writer.put(sent)).entries())
      ranges.set(sent[place]?.sha256 ?? '', range);
  }
  const objects = new Map<string, SharedObject>();
  for (const { object } of ranges.values()) objects.set(object.key, object);
  await writer.finish(new Set(objects.keys()));
  const places = [...objects.keys()];
  const saved: SavedTablet = {
    tablet,
    table: 'table0',
    replica: '127.0.0.1:9100',
    files: Object.entries(files).map(([path, text]) => {
      const sizeBytes = Buffer.byteLength(text);
      const sha256 = sha256Hex(Buffer.from(text));
      const range = ranges.get(sha256);
      const parts =
        range === undefined
          ? []
          : [{ object: places.indexOf(range.object.key), offset: range.offset, sizeBytes, sha256 }];
      return { path, sizeBytes, sha256, parts };
    }),
  };
  await writeTabletResult(
    store,
    ref,
    { epoch: 1, task, piece: 0 },
    { objects: [...objects.values()], tablets: [saved] },
  );
}

function draftOf(ref: BackupId, tablets: SampleTablets, startedAt: string): TabletManifestDraft {
  const table = { id: 'table0', schema: 'public', name: 'orders', index: false };
  return {
    ...ref,
    engine: 'universe',
    pipelineHash: '0'.repeat(64),
    writtenBy: { holdfast: '0.1.0', host: 'worker-1' },
    startedAt,
    completedAt: new Date().toISOString(),
    server: { product: 'yugabytedb', version: '2024.2.0.0' },
    readPoint: {
      kind: 'universe-snapshot',
      epoch: 1,
      takenAt: '2026-11-23T02:00:01.000Z',
      databases: [{ database: 'shop', api: 'ysql', snapshot: `of ${Object.keys(tablets).length} tablets` }],
    },
    contents: 'all',
    databases: [
      {
        name: 'shop',
        owner: 'shop',
        encoding: 'UTF8',
        collate: 'C',
        ctype: 'C',
        schemaObjects: [],
        tables: [{ schema: 'public', table: 'orders', rows: 0, bytes: 0, objects: 0 }],
      },
    ],
    commonObjects: [],
    universe: { snapshots: [{ database: 'shop', api: 'ysql', tables: [table] }] },
  };
}

/** Gives a backup up as retention does: the manifest goes first, for without it there is no backup. */
export async function deleteBackup(store: Store, ref: BackupId): Promise<void> {
  const keys = await Array.fromAsync(store.list(backupFolder(ref)), ({ key }) => key);
  const manifests = keys.filter((key) => key.endsWith('/manifest.json'));
  await store.delete(manifests);
  await store.delete(keys.filter((key) => !manifests.includes(key)));
}
