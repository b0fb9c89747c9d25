import { once } from 'node:events';
import { createZstdDecompress } from 'node:zlib';
import { messageOf } from '../model/errors.ts';

const NEWLINE = 0x0a;

/**
 * How the COPY text in stored bytes differs from what the manifest says of it, undefined when it doesn't. COPY writes one
 * line a row, and a newline within a value as `\n`. Decompresses as a stream: memory stays bounded.
 */
export async function differenceInContent(
  stored: Uint8Array,
  expected: { readonly rows: number; readonly bytes: number },
): Promise<string | undefined> {
  let counted: { readonly rows: number; readonly bytes: number };
  try {
    counted = await countCopyText(stored);
  } catch (error) {
    return `it does not decompress (${messageOf(error)})`;
  }
  if (counted.bytes !== expected.bytes) {
    return `it decompresses to ${counted.bytes} bytes instead of ${expected.bytes}`;
  }
  if (counted.rows !== expected.rows) return `it has ${counted.rows} rows instead of ${expected.rows}`;
  return undefined;
}

async function countCopyText(stored: Uint8Array): Promise<{ readonly rows: number; readonly bytes: number }> {
  const decompress = createZstdDecompress();
  let rows = 0;
  let bytes = 0;
  decompress.on('data', (block: Buffer) => {
    bytes += block.length;
    for (let at = block.indexOf(NEWLINE); at !== -1; at = block.indexOf(NEWLINE, at + 1)) rows++;
  });
  // `once` rejects when the stream fails.
  const ended = once(decompress, 'end');
  decompress.end(stored);
  await ended;
  return { rows, bytes };
}
