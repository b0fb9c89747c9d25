import { Readable } from 'node:stream';
import { type HashedFormat, MultisetHash } from '../../engines/ysql/restore/content-hash.ts';

const PIECE_BYTES = 65_536;
const PIECES = 64;

async function hashOf(blocks: Iterable<Buffer>, format: HashedFormat = 'text'): Promise<string> {
  const hash = new MultisetHash();
  await hash.addAll(Readable.from(blocks), format);
  return hash.value;
}

function longLine(): Promise<string> {
  return hashOf([
    ...Array.from({ length: PIECES }, (_, piece) => Buffer.alloc(PIECE_BYTES, 97 + (piece % 26))),
    Buffer.from('\nlast\nnot ended'),
  ]);
}

test('the hash of lines is what it always was, wherever blocks are cut', async () => {
  const hash = await hashOf(['1\tone\n2\ttw', 'o\n1\tone\n'].map((block) => Buffer.from(block)));
  expect(hash).toBe('3:39ecb8844dfec29dfc98368e0f0f8fec');
  expect(await longLine()).toBe('2:1cd346de13361591f8191058dba012c6');
  const text = Buffer.from('1\tone\n2\ttwo\n1\tone\n');
  for (let cut = 0; cut <= text.length; cut += 1) {
    expect(await hashOf([text.subarray(0, cut), text.subarray(cut)])).toBe(hash);
  }
});

test('a line that comes in many blocks is not copied for each of them', async () => {
  const copies = jest.spyOn(Buffer, 'concat');
  try {
    await longLine();
    const copied = copies.mock.results.reduce((sum, { value }) => sum + (value as Buffer).length, 0);
    expect(copied).toBeLessThanOrEqual(PIECES * PIECE_BYTES);
  } finally {
    copies.mockRestore();
  }
});
