import { constants, createZstdDecompress, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { permanent } from '../../model/errors.ts';

/*
 * Data objects are zstd frames one after another, as RFC 8878 allows and `zstd -d` reads. In a worker thread, one call makes a
 * frame of each block of rows. An object of engine ycql in version 0.1.0 is a single frame, made by a stream.
 */

const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC_MASK = 0xfffffff0;
const SKIPPABLE_MAGIC = 0x184d2a50;
/** A frame whose header states at most this much text is decompressed in one call. */
const ONE_CALL_BYTES = 16 * 1024 * 1024;
const TEXT_PIECE_BYTES = 1024 * 1024;

/**
 * Level 1 looks back half a MiB by default. To look back over a whole block of rows takes 6 % less time, and less space. Higher
 * levels look back further by themselves.
 */
const WHOLE_BLOCK = { [constants.ZSTD_c_windowLog]: 20 };

/**
 * Compresses a whole block into one frame. It blocks its thread for about 3 ms a MiB, so call it in a thread that has nothing
 * else to do.
 */
export function compressFrame(block: Uint8Array, level: number): Buffer {
  return zstdCompressSync(block, {
    // Room for the largest possible result. The library then needs one pass and no copy of the block, which is an eighth faster.
    chunkSize: compressBound(block.length),
    params: { [constants.ZSTD_c_compressionLevel]: level, ...(level === 1 ? WHOLE_BLOCK : {}) },
  });
}

/**
 * The largest size that `bytes` of text can compress to (`ZSTD_COMPRESSBOUND` of zstd.h), or the smallest buffer that Node
 * accepts.
 */
function compressBound(bytes: number): number {
  const small = 128 * 1024;
  return Math.max(64, bytes + (bytes >> 8) + (bytes < small ? (small - bytes) >> 11 : 0));
}

/**
 * The text of an object in pieces of about 1 MiB.
 * Throws `DATA_NOT_ZSTD` (permanent) where the object is not a sequence of whole frames.
 */
export async function* textOf(object: Uint8Array): AsyncGenerator<Buffer> {
  const buffer = Buffer.from(object.buffer, object.byteOffset, object.byteLength);
  for (const frame of splitFrames(buffer)) {
    const textBytes = contentSize(frame);
    if (textBytes !== undefined && textBytes <= ONE_CALL_BYTES) {
      // One byte more than the text, since the library asks for another buffer when one is full.
      if (textBytes > 0) yield zstdDecompressSync(frame, { chunkSize: Math.max(64, textBytes + 1) });
    } else {
      // A stream wrote the frame, so its header doesn't give its size.
      const stream = createZstdDecompress({ chunkSize: TEXT_PIECE_BYTES });
      stream.end(frame);
      yield* stream as AsyncIterable<Buffer>;
    }
  }
}

/**
 * Cuts an object into its frames without decompressing. Throws `DATA_NOT_ZSTD` (permanent) where it is not a sequence of whole
 * frames.
 */
function* splitFrames(object: Buffer): Generator<Buffer> {
  let at = 0;
  while (at < object.length) {
    const end = frameEnd(object, at);
    const frame = object.subarray(at, end);
    if (frame.readUInt32LE(0) === FRAME_MAGIC) yield frame;
    at = end;
  }
}

/** The offset after the frame that starts at `start` (RFC 8878, section 3.1). */
function frameEnd(object: Buffer, start: number): number {
  const need = (end: number) => (end <= object.length ? end : notZstd(start));
  need(start + 8);
  const magic = object.readUInt32LE(start);
  if ((magic & SKIPPABLE_MAGIC_MASK) >>> 0 === SKIPPABLE_MAGIC) {
    return need(start + 8 + object.readUInt32LE(start + 4));
  }
  if (magic !== FRAME_MAGIC) notZstd(start);
  const header = frameHeader(object, start);
  let at = header.contentSizeAt + header.contentSizeBytes;
  for (;;) {
    need(at + 3);
    const blockHeader = object.readUIntLE(at, 3);
    const isLast = (blockHeader & 1) === 1;
    const isRunLength = ((blockHeader >> 1) & 3) === 1;
    at += 3 + (isRunLength ? 1 : blockHeader >> 3);
    if (isLast) break;
  }
  return need(at + (header.hasChecksum ? 4 : 0));
}

function frameHeader(object: Buffer, start: number) {
  const descriptor = object[start + 4] ?? 0;
  const singleSegment = (descriptor & 0x20) !== 0;
  const contentSizeFlag = descriptor >> 6;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  return {
    hasChecksum: (descriptor & 4) !== 0,
    contentSizeAt: start + 5 + (singleSegment ? 0 : 1) + dictionaryBytes,
    contentSizeBytes: contentSizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << contentSizeFlag,
  };
}

/** Bytes of text in a frame by its header. Undefined where the header doesn't say (RFC 8878, section 3.1.1.1.4). */
function contentSize(frame: Buffer): number | undefined {
  const { contentSizeAt: at, contentSizeBytes } = frameHeader(frame, 0);
  if (contentSizeBytes === 0) return undefined;
  if (contentSizeBytes === 8) return Number(frame.readBigUInt64LE(at));
  const size = frame.readUIntLE(at, contentSizeBytes);
  return contentSizeBytes === 2 ? size + 256 : size;
}

function notZstd(offset: number): never {
  throw permanent(
    'DATA_NOT_ZSTD',
    `The object is not a run of whole zstd frames (at byte ${offset})`,
    'The object was not written by Holdfast or is damaged: run `holdfast verify --level content`, then restore another backup.',
  );
}
