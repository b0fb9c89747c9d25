import type { DataFormat, DataObject } from '../../model/backup.ts';
import { messageOf } from '../../model/errors.ts';
import { BinaryRows } from './copy-binary.ts';
import { PageRows } from './cql-pages.ts';
import { textOf } from './zstd-frames.ts';

const NEWLINE = 0x0a;

/**
 * How the rows in stored bytes differ from what the manifest states. Undefined when they don't. COPY's text has one line for each row, and writes a
 * newline within a value as `\n`. Its binary format and pages of CQL state lengths and counts. Decompresses as a stream, so memory is bounded.
 */
export async function differenceInContent(
  stored: Uint8Array,
  expected: Pick<DataObject, 'rows' | 'bytes' | 'format'>,
): Promise<string | undefined> {
  let counted: { readonly rows: number; readonly bytes: number };
  try {
    counted = await countRows(stored, counterOf(expected.format));
  } catch (error) {
    return `it does not decompress (${messageOf(error)})`;
  }
  if (counted.bytes !== expected.bytes) {
    return `it decompresses to ${counted.bytes} bytes instead of ${expected.bytes}`;
  }
  if (counted.rows !== expected.rows) return `it has ${counted.rows} rows instead of ${expected.rows}`;
  return undefined;
}

function counterOf(format: DataFormat | undefined): RowCounter {
  switch (format) {
    case 'cql-pages':
      return new PageRows();
    case 'copy-binary':
      return new BinaryRows();
    default:
      return new CopyRows();
  }
}

/** Counts rows in a stream of blocks. */
interface RowCounter {
  readonly rows: number;
  add(block: Buffer): void;
  /** Ends the count. Throws where the stream broke off within a row or page. */
  end(): void;
}

class CopyRows implements RowCounter {
  rows = 0;

  add(block: Buffer): void {
    for (let at = block.indexOf(NEWLINE); at !== -1; at = block.indexOf(NEWLINE, at + 1)) this.rows++;
  }

  end(): void {
    // A last line that is cut off isn't counted, so its row is missing from the count.
  }
}

async function countRows(
  stored: Uint8Array,
  counter: RowCounter,
): Promise<{ readonly rows: number; readonly bytes: number }> {
  let bytes = 0;
  for await (const block of textOf(stored)) {
    bytes += block.length;
    counter.add(block);
  }
  counter.end();
  return { rows: counter.rows, bytes };
}
