import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { quietVerb } from '../../../engines/quiet-verb.ts';
import { checkReplay } from '../../../engines/ysql/restore/replay.ts';
import { isoOfMicros, lsnOf, type StoredSegment } from '../../../model/archive.ts';
import { PLAIN_RESTORE } from '../../../model/backup.ts';
import type { Manifest } from '../../../model/manifest.ts';
import type { YsqlSource } from '../../../model/pipeline.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import {
  framesOf,
  putSegment,
  putSegmentOfParts,
  putSegmentPart,
  readSegment,
} from '../../../repository/archive/archive.ts';
import { timelineKey } from '../../../repository/archive/names.ts';
import { readStoredManifest } from '../../../repository/backups/manifest.ts';
import { compressFrame } from '../../../repository/backups/zstd-frames.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { ClearStore } from '../../../repository/encryption/clear-store.ts';
import { backupFolder, tabletResultName } from '../../../repository/layout.ts';
import { readTabletResult, writeTabletResult } from '../../../repository/objects/tablet-lists.ts';
import { sealJson } from '../../../repository/sealed-json.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import { signTimelines } from '../../../repository/signing/sign-backups.ts';
import type { Store } from '../../../repository/store.ts';
import { Dice } from '../../crash/dice.ts';
import { ARCHIVE, TIMELINE as ARCHIVED, putArchive, writtenSegments } from '../damage/stored-archive.ts';
import { SAMPLE, writeSampleBackup } from '../sample-backup.ts';
import { newSigner, signedStore, signingOf } from './signers.ts';

/* Segments of an archive and results of tablets: zstd objects that carry their signature in a frame of their own. */

const ID = { plan: 'orders', database: 'shop' };
const TIMELINE = '20261130T030000000Z-0000000000000001';
const range = (start: number) => ({
  startLsn: lsnOf(BigInt(start)),
  endLsn: lsnOf(BigInt(start + 10)),
  minCommitMicros: 1_000_000 + start,
  maxCommitMicros: 1_000_001 + start,
});
const frame = (text: string) => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return compressFrame(Buffer.concat([Buffer.from('{}\n'), length, Buffer.from(text)]), 1);
};
const textOf = (store: Store, segment: StoredSegment) =>
  Array.fromAsync(framesOf(readSegment(store, segment), segment.key), String);

const worker = newSigner();
let scratch: ScratchFolder;
let raw: DirectoryStore;
let signed: Store;
beforeAll(async () => {
  scratch = await createScratchFolder('signed-frames');
  await mkdir(path.join(scratch.path, 'repository'));
  raw = new DirectoryStore(path.join(scratch.path, 'repository'));
  signed = signedStore(raw, worker, [worker]);
});
afterAll(() => scratch.remove());

test('a signed segment is read by who asks for signatures and by who does not', async () => {
  const segment = await putSegment(signed, ID, TIMELINE, range(1), frame('begin'));
  expect(await textOf(signed, segment)).toEqual(['{}', 'begin']);
  expect(await textOf(new ClearStore(raw), segment)).toEqual(['{}', 'begin']);
});

test('a segment that nobody signed, that was signed for another place, or by another key, is not replayed', async () => {
  const unsigned = await putSegment(raw, ID, TIMELINE, range(11), frame('forged'));
  await expect(textOf(signed, unsigned)).rejects.toMatchObject({ code: 'SIGNATURE_MISSING' });
  const foreign = newSigner('forger');
  const theirs = await putSegment(
    signedStore(raw, foreign, [foreign]),
    ID,
    TIMELINE,
    range(21),
    frame('forged'),
  );
  await expect(textOf(signed, theirs)).rejects.toMatchObject({ code: 'SIGNATURE_FOREIGN' });

  const right = await putSegment(signed, ID, TIMELINE, range(31), frame('right'));
  const body = await raw.get(right.key);
  const elsewhere = right.key.replace('000000000000001F-', '0000000000000020-');
  expect(elsewhere).not.toBe(right.key);
  await raw.put(elsewhere, body, { sha256: sha256Hex(body), ifAbsent: true });
  await expect(textOf(signed, { ...right, key: elsewhere })).rejects.toMatchObject({
    code: 'SIGNATURE_FORGED',
  });
  // Changes put before the signature, under a name with the right hash.
  const longer = Buffer.concat([frame('forged'), body]);
  const sha256Start = sha256Hex(longer).slice(0, 16);
  const key = right.key.replace(right.sha256Start, sha256Start);
  await raw.put(key, longer, { sha256: sha256Hex(longer), ifAbsent: true });
  await expect(textOf(signed, { ...right, key, sha256Start })).rejects.toMatchObject({
    code: 'SIGNATURE_FORGED',
  });
});

test('a segment in parts is signed by its list', async () => {
  const part = await putSegmentPart(signed, ID, TIMELINE, frame('large'));
  const segment = await putSegmentOfParts(signed, ID, TIMELINE, range(41), [part]);
  expect(await textOf(signed, segment)).toEqual(['{}', 'large']);
  const forged = await putSegmentOfParts(raw, ID, TIMELINE, range(51), [
    await putSegmentPart(raw, ID, TIMELINE, frame('forged')),
  ]);
  await expect(textOf(signed, forged)).rejects.toMatchObject({ code: 'SIGNATURE_MISSING' });
});

test('what a timeline says of itself is believed by a replay where a trusted key signed it, and a person can sign it later', async () => {
  await mkdir(path.join(scratch.path, 'timelines'));
  const clear = new DirectoryStore(path.join(scratch.path, 'timelines'));
  const place = {
    store: signedStore(clear, worker, [worker]),
    signing: signingOf(worker, [worker]),
    unsigned: new ClearStore(clear),
  };
  await writeSampleBackup(place.store);
  const { manifest: sample } = await readStoredManifest(place.store, SAMPLE);
  const [database] = sample.databases;
  if (database === undefined) throw new Error();
  const segments = writtenSegments(new Dice(1), 5);
  await putArchive(place.store, segments);
  const seenBy = isoOfMicros(segments[1]?.maxMicros ?? 0);
  const manifest: Manifest = {
    ...sample,
    plan: ARCHIVE.plan,
    databases: [{ ...database, name: ARCHIVE.database }],
    readPoint: {
      kind: 'pg-snapshot',
      epoch: 1,
      takenAt: seenBy,
      snapshots: {},
      place: { snapshotXids: { shop: '12:12:' }, walLsn: lsnOf(BigInt(segments[1]?.end ?? 0)), seenBy },
    },
  };
  const ref = { plan: ARCHIVE.plan, backup: sample.backup };
  const repository = { name: 'main', location: { kind: 'directory' as const, path: clear.description } };
  const source: YsqlSource = {
    engine: 'ysql',
    connection: { env: 'NONE' },
    tables: { include: [], exclude: [] },
    contents: 'all',
    globals: 'none',
    chunkBytes: 1,
  };
  const to = isoOfMicros(segments[3]?.maxMicros ?? 0);
  const check = () =>
    checkReplay({
      ...quietVerb(() => Promise.reject(new Error('no secret is needed'))),
      store: place.store,
      folder: '',
      ref: { ...ref, repository },
      manifest,
      dataObjects: () => Promise.resolve([]),
      request: {
        restore: 'r1',
        from: { ...ref, repository },
        source,
        ...PLAIN_RESTORE,
        scratch: false,
        parallelism: 1,
        replay: { to, timelines: { shop: ARCHIVED.id } },
      },
    });
  await expect(check()).resolves.toBeUndefined();

  // The forger has it begin where it suits him, and no table be missing.
  const key = timelineKey(ARCHIVE, ARCHIVED.id);
  const forged = sealJson({ ...ARCHIVED, snapshotXids: '1:1:' });
  await clear.put(key, forged, { sha256: sha256Hex(forged), ifAbsent: false });
  await expect(check()).rejects.toMatchObject({ code: 'SIGNATURE_MISSING' });

  // As it was before the plan had `signing`.
  const honest = sealJson(ARCHIVED);
  await clear.put(key, honest, { sha256: sha256Hex(honest), ifAbsent: false });
  await expect(check()).rejects.toMatchObject({ code: 'SIGNATURE_MISSING' });
  expect(await signTimelines(place, ARCHIVE.plan)).toEqual([key]);
  await expect(check()).resolves.toBeUndefined();
  expect(await signTimelines(place, ARCHIVE.plan)).toEqual([]);
  await clear.put(key, forged, { sha256: sha256Hex(forged), ifAbsent: false });
  await expect(signTimelines(place, ARCHIVE.plan)).rejects.toMatchObject({ code: 'SIGNATURE_FORGED' });
});

test('a result that somebody puts into a running backup of a universe is not taken for an agent’s', async () => {
  const at = { epoch: 1, task: 1, piece: 0 };
  const list = { objects: [], tablets: [] };
  await writeTabletResult(raw, SAMPLE, at, list);
  await expect(writeTabletResult(signed, SAMPLE, at, list)).rejects.toMatchObject({
    code: 'SIGNATURE_MISSING',
  });
  await writeTabletResult(signed, SAMPLE, { ...at, task: 2 }, list);
  await expect(writeTabletResult(signed, SAMPLE, { ...at, task: 2 }, list)).resolves.toEqual(list);
  const key = backupFolder(SAMPLE) + tabletResultName(at.epoch, 2, at.piece);
  expect(await readTabletResult(new ClearStore(raw), key)).toEqual(list);
});
