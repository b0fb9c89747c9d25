import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { lsnOf, type StoredSegment } from '../../../model/archive.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import {
  framesOf,
  putSegment,
  putSegmentOfParts,
  putSegmentPart,
  readSegment,
} from '../../../repository/archive.ts';
import { DirectoryStore } from '../../../repository/directory.ts';
import { ClearStore } from '../../../repository/encryption/clear-store.ts';
import { readTabletResult, writeTabletResult } from '../../../repository/objects/tablet-lists.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import type { Store } from '../../../repository/store.ts';
import { compressFrame } from '../../../repository/zstd-frames.ts';
import { SAMPLE } from '../sample-backup.ts';
import { newSigner, signedStore } from './signers.ts';

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

test('a result that somebody puts into a running backup of a universe is not taken for an agent’s', async () => {
  const at = { epoch: 1, task: 1, piece: 0 };
  const list = { objects: [], tablets: [] };
  await writeTabletResult(raw, SAMPLE, at, list);
  await expect(writeTabletResult(signed, SAMPLE, at, list)).rejects.toMatchObject({
    code: 'SIGNATURE_MISSING',
  });
  await writeTabletResult(signed, SAMPLE, { ...at, task: 2 }, list);
  await expect(writeTabletResult(signed, SAMPLE, { ...at, task: 2 }, list)).resolves.toEqual(list);
  const [key] = await Array.fromAsync(
    raw.list(`backups/${SAMPLE.plan}/${SAMPLE.backup}/work/e1/tablets/0000002`),
    (found) => found.key,
  );
  expect(await readTabletResult(new ClearStore(raw), key ?? '')).toEqual(list);
});
