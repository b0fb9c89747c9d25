import { WASM } from './copy-rows.wasm.ts';

/** Text handed on at a time: large enough for zstd's ratio, small enough for the processor's cache. */
const BLOCK_BYTES = 1024 * 1024;
/** Enough for the statements that a thread usually runs at once, four each. Memory that no row was ever written to costs nothing. */
const BLOCKS = 16;
const READ_BYTES = 256 * 1024;
const PAGE_BYTES = 64 * 1024;

const PAGES = (READ_BYTES + BLOCKS * BLOCK_BYTES) / PAGE_BYTES;
const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES });
const { exports: program } = new WebAssembly.Instance<{
  takeRows(from: number, end: number, to: number, limit: number): [from: number, to: number, rows: number];
}>(new WebAssembly.Module(Buffer.from(WASM, 'base64')), { rows: { memory } });

/** What any socket of this thread reads into, to be used before anything else is read. */
export const readBuffer = Buffer.from(memory.buffer, 0, READ_BYTES);

const freeBlocks = Array.from({ length: BLOCKS }, (_, place) =>
  Buffer.from(memory.buffer, READ_BYTES + place * BLOCK_BYTES, BLOCK_BYTES),
);

/** A block to fill: of at least `bytes`, and one that `takeRows` reaches where there is one. */
export function borrowBlock(bytes: number): Buffer {
  const block = bytes <= BLOCK_BYTES ? freeBlocks.pop() : undefined;
  return block ?? Buffer.allocUnsafeSlow(Math.max(bytes, BLOCK_BYTES));
}

/** Takes back what was borrowed, or a part of it. */
export function returnBlock({ buffer, byteOffset }: Buffer): void {
  if (buffer !== memory.buffer) return;
  const place = Math.floor((byteOffset - READ_BYTES) / BLOCK_BYTES);
  freeBlocks.push(Buffer.from(memory.buffer, READ_BYTES + place * BLOCK_BYTES, BLOCK_BYTES));
}

/** Puts what came another way where `takeRows` reads it; cut where it is longer than any read. */
export function asRead(chunk: Buffer): Buffer {
  if (chunk.buffer === memory.buffer) return chunk;
  return readBuffer.subarray(0, chunk.copy(readBuffer));
}

/** How far rows were taken of a read, how many, and how far they fill the block. */
export interface Taken {
  readonly at: number;
  readonly filled: number;
  readonly rows: number;
}

/**
 * Copies the rows of whole CopyData messages to a block of which `filled` bytes are in use. Stops at the first message of the
 * read, from `at` on, that is not all there, has no room, or is another one.
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
