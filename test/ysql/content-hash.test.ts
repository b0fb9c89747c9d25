import { MultisetHash } from '../../engines/ysql/restore/content-hash.ts';

const PIECE_BYTES = 65_536;
const PIECES = 64;

function longLine(): MultisetHash {
  const hash = new MultisetHash();
  for (let piece = 0; piece < PIECES; piece += 1) hash.add(Buffer.alloc(PIECE_BYTES, 97 + (piece % 26)));
  hash.add(Buffer.from('\nlast\nnot ended'));
  return hash;
}

test('the hash of lines is what it always was, wherever blocks are cut', () => {
  const hash = new MultisetHash();
  for (const block of ['1\tone\n2\ttw', 'o\n1\tone\n']) hash.add(Buffer.from(block));
  expect(hash.value).toBe('3:39ecb8844dfec29dfc98368e0f0f8fec');
  expect(longLine().value).toBe('2:1cd346de13361591f8191058dba012c6');
  const text = Buffer.from('1\tone\n2\ttwo\n1\tone\n');
  for (let cut = 0; cut <= text.length; cut += 1) {
    const inTwo = new MultisetHash();
    inTwo.add(text.subarray(0, cut));
    inTwo.add(text.subarray(cut));
    expect(inTwo.value).toBe(hash.value);
  }
});

test('a line that comes in many blocks is not copied for each of them', () => {
  const copies = jest.spyOn(Buffer, 'concat');
  try {
    longLine();
    const copied = copies.mock.results.reduce((sum, { value }) => sum + (value as Buffer).length, 0);
    expect(copied).toBeLessThanOrEqual(PIECES * PIECE_BYTES);
  } finally {
    copies.mockRestore();
  }
});
