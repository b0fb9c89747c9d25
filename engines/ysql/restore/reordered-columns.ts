/**
 * COPY text with the values of each row in another order: `places` says which one comes first, second, … In COPY text a tab and a line
 * feed within a value are escaped, and no encoding of a server has a character with such a byte in it. Memory: a block.
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
