import { WASM } from './copy-rows.wasm.ts';

/** Size of a block of rows: large enough for zstd's ratio, small enough for the processor's cache. */
const BLOCK_BYTES = 1024 * 1024;
/**
 * Enough for the statements that a thread usually runs at once, with four blocks each. The operating system gives no memory to a
 * block before its first row.
 */
const BLOCKS = 16;
const READ_BYTES = 256 * 1024;
const PAGE_BYTES = 64 * 1024;

const PAGES = (READ_BYTES + BLOCKS * BLOCK_BYTES) / PAGE_BYTES;
const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES });
const { exports: program } = new WebAssembly.Instance<{
  takeRows(from: number, end: number, to: number, limit: number): [from: number, to: number, rows: number];
}>(new WebAssembly.Module(Buffer.from(WASM, 'base64')), { rows: { memory } });

/** The buffer that every socket of this thread reads into. Its reader must use the data before the next read. */
export const readBuffer = Buffer.from(memory.buffer, 0, READ_BYTES);

const freeBlocks = Array.from({ length: BLOCKS }, (_, place) =>
  Buffer.from(memory.buffer, READ_BYTES + place * BLOCK_BYTES, BLOCK_BYTES),
);

/** Returns an empty block of at least `bytes`. Prefers a block that `takeRows` can write to. */
export function borrowBlock(bytes: number): Buffer {
  const block = bytes <= BLOCK_BYTES ? freeBlocks.pop() : undefined;
  return block ?? Buffer.allocUnsafeSlow(Math.max(bytes, BLOCK_BYTES));
}

/** Takes back a borrowed block. `block` may be any part of it. */
export function returnBlock({ buffer, byteOffset }: Buffer): void {
  if (buffer !== memory.buffer) return;
  const place = Math.floor((byteOffset - READ_BYTES) / BLOCK_BYTES);
  freeBlocks.push(Buffer.from(memory.buffer, READ_BYTES + place * BLOCK_BYTES, BLOCK_BYTES));
}

/** Copies data that a socket read elsewhere to where `takeRows` can read it. The copy is cut when the data is longer than any read. */
export function asRead(chunk: Buffer): Buffer {
  if (chunk.buffer === memory.buffer) return chunk;
  return readBuffer.subarray(0, chunk.copy(readBuffer));
}

/** The position in the read up to which rows were taken, how far they fill the block, and their number. */
export interface Taken {
  readonly at: number;
  readonly filled: number;
  readonly rows: number;
}

/**
 * Copies the rows of complete CopyData messages, from position `at` of the read, into a block of which `filled` bytes are in use.
 * Stops at the first message that is incomplete, doesn't fit into the block, or has another type.
 */
export function takeRows(read: Buffer, at: number, block: Buffer, filled: number): Taken {
  if (block.buffer !== memory.buffer || at >= read.length) return { at, filled, rows: 0 };
  const [from, to, rows] = program.takeRows(
    read.byteOffset + at,
    read.byteOffset + read.length,
    block.byteOffset + filled,
    block.byteOffset + block.length,
  );
  return { at: from - read.byteOffset, filled: to - block.byteOffset, rows };
}
