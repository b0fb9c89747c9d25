import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import { permanent } from '../../model/errors.ts';

/*
 * Data objects are zstd frames one after another, as RFC 8878 allows and `zstd -d` reads. Each frame is compressed by itself on
 * the thread pool, so that blocks of one lane are compressed side by side and the event loop stays free.
 */

const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC_MASK = 0xfffffff0;
const SKIPPABLE_MAGIC = 0x184d2a50;

/** Compresses `block` into one frame that holds its content size. */
export function compressFrame(block: Uint8Array, level: number): Promise<Buffer> {
  const options = { params: { [constants.ZSTD_c_compressionLevel]: level } };
  return new Promise((resolve, reject) => {
    zstdCompress(block, options, (error, frame) => (error === null ? resolve(frame) : reject(error)));
  });
}

/** Decompresses one frame. Rejects when it is damaged. */
export function decompressFrame(frame: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    zstdDecompress(frame, (error, block) => (error === null ? resolve(block) : reject(error)));
  });
}

/** Cuts an object into its frames without decompressing. Throws `DATA_NOT_ZSTD` (permanent) when it is no run of whole frames. */
export function* splitFrames(object: Buffer): Generator<Buffer> {
  let at = 0;
  while (at < object.length) {
    const end = frameEnd(object, at);
    const frame = object.subarray(at, end);
    if (frame.readUInt32LE(0) === FRAME_MAGIC) yield frame;
    at = end;
  }
}

/** Offset behind the frame that starts at `start` (RFC 8878, section 3.1). */
function frameEnd(object: Buffer, start: number): number {
  const need = (end: number) => (end <= object.length ? end : notZstd(start));
  need(start + 8);
  const magic = object.readUInt32LE(start);
  if ((magic & SKIPPABLE_MAGIC_MASK) >>> 0 === SKIPPABLE_MAGIC) {
    return need(start + 8 + object.readUInt32LE(start + 4));
  }
  if (magic !== FRAME_MAGIC) notZstd(start);
  const descriptor = object[start + 4] ?? 0;
  const singleSegment = (descriptor & 0x20) !== 0;
  const contentSizeFlag = descriptor >> 6;
  const contentSizeBytes = contentSizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << contentSizeFlag;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  let at = start + 5 + (singleSegment ? 0 : 1) + dictionaryBytes + contentSizeBytes;
  for (;;) {
    need(at + 3);
    const blockHeader = object.readUIntLE(at, 3);
    const isLast = (blockHeader & 1) === 1;
    const isRunLength = ((blockHeader >> 1) & 3) === 1;
    at += 3 + (isRunLength ? 1 : blockHeader >> 3);
    if (isLast) break;
  }
  const checksumBytes = (descriptor & 4) === 0 ? 0 : 4;
  return need(at + checksumBytes);
}

function notZstd(offset: number): never {
  throw permanent(
    'DATA_NOT_ZSTD',
    `The object is not a run of whole zstd frames (at byte ${offset})`,
    'The object was not written by Holdfast or is damaged: run `holdfast verify --level content`, then restore another backup.',
  );
}
