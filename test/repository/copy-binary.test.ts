import fc from 'fast-check';
import { BINARY_HEADER, BINARY_TRAILER, BinaryRows } from '../../repository/backups/copy-binary.ts';

/** Fields of a row; null for NULL. */
type Row = readonly (Uint8Array | null)[];

const rows = fc.array(fc.array(fc.option(fc.uint8Array({ maxLength: 300 }), { freq: 5 }), { maxLength: 6 }), {
  maxLength: 30,
});
const cuts = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 8 });

function encoded(row: Row): Buffer {
  const count = Buffer.alloc(2);
  count.writeInt16BE(row.length);
  const fields = row.map((field) => {
    const length = Buffer.alloc(4);
    length.writeInt32BE(field?.length ?? -1);
    return Buffer.concat([length, field ?? new Uint8Array()]);
  });
  return Buffer.concat([count, ...fields]);
}

function inPieces(bytes: Buffer, lengths: readonly number[]): readonly Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const end = at + (lengths[turn % lengths.length] ?? 1);
    pieces.push(bytes.subarray(at, end));
    at = end;
  }
  return pieces;
}

function read(blocks: readonly Buffer[], withFrame: boolean): readonly Buffer[] {
  const found: Buffer[] = [];
  let begun: Buffer[] = [];
  const reader = new BinaryRows(
    {
      part: (bytes) => void begun.push(bytes),
      end: (bytes) => {
        found.push(Buffer.concat([...begun, bytes]));
        begun = [];
      },
    },
    { withFrame },
  );
  for (const block of blocks) reader.add(block);
  reader.end();
  expect(reader.rows).toBe(found.length);
  return found;
}

test('the rows are found wherever blocks are cut, with and without header and trailer', () => {
  fc.assert(
    fc.property(rows, cuts, fc.boolean(), (given, lengths, withFrame) => {
      const expected = given.map(encoded);
      const bytes = withFrame ? [BINARY_HEADER, ...expected, BINARY_TRAILER] : expected;
      expect(read(inPieces(Buffer.concat(bytes), lengths), withFrame)).toEqual(expected);
    }),
  );
});

test('what is cut off anywhere, goes on after its end, or begins otherwise is no object', () => {
  const whole = Buffer.concat([
    BINARY_HEADER,
    encoded([Buffer.from('one'), null]),
    encoded([]),
    BINARY_TRAILER,
  ]);
  expect(read([whole], true)).toHaveLength(2);
  for (let length = 0; length < whole.length; length += 1)
    expect(() => read([whole.subarray(0, length)], true)).toThrow('it ends before');
  expect(() => read([whole, Buffer.from([0])], true)).toThrow('after the end');
  expect(() => read([Buffer.concat([Buffer.from('1\tone\n'), whole])], true)).toThrow('does not begin');
  const bare = encoded([Buffer.from('one')]);
  for (let length = 1; length < bare.length; length += 1)
    expect(() => read([bare.subarray(0, length)], false)).toThrow('it ends before');
});
