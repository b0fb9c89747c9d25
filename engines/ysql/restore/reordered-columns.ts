import { BinaryRows } from '../../../repository/backups/copy-binary.ts';

/**
 * Reorders the values of each row in COPY text: `places` says which value comes first, second, … COPY text escapes tabs and line feeds
 * within values, and no server encoding has a character that contains such a byte. Memory: a block.
 */
export async function* withColumns(
  text: AsyncIterable<Uint8Array>,
  places: readonly number[],
): AsyncGenerator<Buffer> {
  let rest = '';
  for await (const block of text) {
    const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
    const lines = (rest + bytes.toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    const reordered = lines.map((line) => {
      const values = line.split('\t');
      return `${places.map((place) => values[place] ?? '').join('\t')}\n`;
    });
    yield Buffer.from(reordered.join(''), 'latin1');
  }
  if (rest !== '') yield Buffer.from(rest, 'latin1');
}

/** Like `withColumns`, for an object in COPY's binary format. Yields only the rows, without header and trailer. Memory: a block, and a row. */
export async function* withFields(
  blocks: AsyncIterable<Buffer>,
  places: readonly number[],
): AsyncGenerator<Buffer> {
  let begun: Buffer[] = [];
  let reordered: Buffer[] = [];
  const rows = new BinaryRows({
    part: (bytes) => void begun.push(Buffer.from(bytes)),
    end: (bytes) => {
      const row = begun.length === 0 ? bytes : Buffer.concat([...begun, bytes]);
      begun = [];
      const fields = fieldsOf(row);
      reordered.push(
        row.subarray(0, COUNT_BYTES),
        ...places.map((place) => fields[place] ?? Buffer.alloc(0)),
      );
    },
  });
  for await (const block of blocks) {
    rows.add(block);
    if (reordered.length > 0) yield Buffer.concat(reordered);
    reordered = [];
  }
  rows.end();
}

const COUNT_BYTES = 2;
const LENGTH_BYTES = 4;

/** Splits a row into its fields, each with its length prefix. */
function fieldsOf(row: Buffer): readonly Buffer[] {
  const fields: Buffer[] = [];
  for (let at = COUNT_BYTES; at < row.length; ) {
    const end = at + LENGTH_BYTES + Math.max(0, row.readInt32BE(at));
    fields.push(row.subarray(at, end));
    at = end;
  }
  return fields;
}
