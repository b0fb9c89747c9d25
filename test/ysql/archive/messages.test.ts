import fc from 'fast-check';
import {
  decodeChanges,
  decodeHead,
  decodeMessage,
  type MessageHead,
  type PgOutputMessage,
} from '../../../engines/ysql/archive/messages.ts';
import { HoldfastError } from '../../../model/errors.ts';
import * as write from './pgoutput.ts';

const LSN = 0x16b3748n;
const MICROS = 1_796_000_000_123_456n;

test.each<readonly [string, Buffer, PgOutputMessage]>([
  [
    'Begin, whose transaction number has 32 bits',
    write.begin(LSN, MICROS, 4_294_967_295),
    { kind: 'begin', commitLsn: LSN, commitMicros: MICROS, xid: 4_294_967_295 },
  ],
  [
    'Commit',
    write.commit(LSN, LSN + 48n, MICROS),
    { kind: 'commit', commitLsn: LSN, endLsn: LSN + 48n, commitMicros: MICROS },
  ],
  [
    'Relation',
    write.relation(16_385, 'public', 'ünï "t"', [{ name: 'id', isKey: true, type: 23 }, { name: 'x' }]),
    {
      kind: 'relation',
      oid: 16_385,
      schema: 'public',
      table: 'ünï "t"',
      identity: 'd',
      columns: [
        { name: 'id', isKey: true, typeOid: 23, typeModifier: -1 },
        { name: 'x', isKey: false, typeOid: 25, typeModifier: -1 },
      ],
    },
  ],
  [
    'Insert; NULL and the empty text are two things',
    write.insert(7, ['1', null, '']),
    { kind: 'insert', oid: 7, row: ['1', null, ''] },
  ],
  [
    'Update without an old row; a value that is left out is not NULL',
    write.update(7, ['1', undefined, null]),
    { kind: 'update', oid: 7, row: ['1', undefined, null] },
  ],
  [
    'Update of a key',
    write.update(7, ['2', 'x'], { of: 'K', row: ['1', null] }),
    { kind: 'update', oid: 7, old: { of: 'key', tuple: ['1', null] }, row: ['2', 'x'] },
  ],
  [
    'Update with the whole old row',
    write.update(7, ['2'], { of: 'O', row: ['1'] }),
    { kind: 'update', oid: 7, old: { of: 'row', tuple: ['1'] }, row: ['2'] },
  ],
  ['Delete', write.remove(7, ['1']), { kind: 'delete', oid: 7, old: { of: 'key', tuple: ['1'] } }],
  [
    'Truncate',
    write.truncate([7, 8], 3),
    { kind: 'truncate', oids: [7, 8], cascade: true, restartIdentity: true },
  ],
  ['Origin', Buffer.concat([Buffer.from('O'), write.int64(1n), write.text('o')]), { kind: 'origin' }],
  [
    'Type',
    Buffer.concat([Buffer.from('Y'), write.int32(1), write.text('public'), write.text('mood')]),
    { kind: 'type' },
  ],
  [
    'Message',
    Buffer.concat([
      Buffer.from('M\x01'),
      write.int64(1n),
      write.text('prefix'),
      write.int32(3),
      Buffer.from('abc'),
    ]),
    { kind: 'message' },
  ],
])('%s is read as it was sent, and its head alone says the same', (_, bytes, message) => {
  expect(decodeMessage(bytes)).toEqual(message);
  expect(decodeHead(bytes)).toEqual(headOf(message, bytes));
});

function headOf(message: PgOutputMessage, bytes: Buffer): MessageHead {
  switch (message.kind) {
    case 'begin':
    case 'commit':
      return message;
    case 'relation':
      return { kind: 'relation', oid: message.oid };
    case 'type':
      return { kind: 'type', oid: bytes.readUInt32BE(1) };
    case 'insert':
    case 'update':
    case 'delete':
      return { kind: 'change', oids: [message.oid] };
    case 'truncate':
      return { kind: 'change', oids: message.oids };
    default:
      return { kind: 'other' };
  }
}

test('the head of a change is read without its row, and a head that ends too early is refused by name', () => {
  expect(decodeHead(write.insert(7, ['1']).subarray(0, 5))).toEqual({ kind: 'change', oids: [7] });
  expect(() => decodeHead(write.begin(LSN, MICROS, 1).subarray(0, 8))).toThrow(
    expect.objectContaining({
      code: 'ARCHIVE_MESSAGE',
      message: expect.stringContaining('that the source sent'),
    }),
  );
});

test.each<readonly [string, Buffer, RegExp]>([
  ['an unknown type', Buffer.from('Z'), /type is "Z", which protocol 1 doesn't have/],
  ['no byte at all', Buffer.alloc(0), /ends before its type/],
  ['a byte too many', Buffer.concat([write.insert(7, ['1']), Buffer.from('x')]), /1 bytes follow its end/],
  ['a byte too few', write.insert(7, ['123']).subarray(0, -1), /ends before a value/],
  ['a value in binary format', Buffer.from('I\0\0\0\x07N\0\x01b\0\0\0\0', 'latin1'), /binary format/],
  ['bytes that are no UTF-8', Buffer.from('I\0\0\0\x07N\0\x01t\0\0\0\x01\xff', 'latin1'), /not UTF-8/],
  [
    'an unknown replica identity',
    write.relation(7, 's', 't', [], 'x'),
    /replica identity of table "t" is "x"/,
  ],
  [
    'a delete with a new row',
    Buffer.from('D\0\0\0\x07N\0\0', 'latin1'),
    /where an old row is due there is "N"/,
  ],
  // Four billion tables in a message of ten bytes: memory must not be asked for before they are there.
  [
    'a count beyond the end',
    Buffer.from('T\xff\xff\xff\xff\0', 'latin1'),
    /ends before the tables of a TRUNCATE/,
  ],
])('%s is refused by name', (_, bytes, problem) => {
  expect(() => decodeMessage(bytes)).toThrow(problem);
  expect(() => decodeMessage(bytes)).toThrow(expect.objectContaining({ code: 'ARCHIVE_MESSAGE' }));
});

const cell = fc.option(fc.string({ unit: 'grapheme' }), { nil: null });

test('whatever is written comes back, and no part of it is taken for a whole message', () => {
  fc.assert(
    fc.property(
      fc.array(cell, { maxLength: 6 }),
      fc.array(cell, { maxLength: 6 }),
      fc.nat({ max: 0xffff_ffff }),
      fc.nat(),
      (row, old, oid, cut) => {
        const bytes = write.update(oid, row, { of: 'O', row: old });
        expect(decodeMessage(bytes)).toEqual({ kind: 'update', oid, old: { of: 'row', tuple: old }, row });
        expect(() => decodeMessage(bytes.subarray(0, cut % bytes.length))).toThrow(HoldfastError);
      },
    ),
  );
});

test('any bytes are either a message or refused by name, in one pass', () => {
  const types = fc.constantFrom(...Buffer.from('BCRIUDTOYM'));
  fc.assert(
    fc.property(types, fc.uint8Array({ maxLength: 200 }), (type, rest) => {
      try {
        decodeMessage(Uint8Array.of(type, ...rest));
      } catch (error) {
        expect(error).toMatchObject({ code: 'ARCHIVE_MESSAGE', transient: false });
      }
    }),
    { numRuns: 2_000 },
  );
});

/** What a read says, or that it is refused. */
function outcome(read: () => PgOutputMessage): unknown {
  try {
    const message = read();
    // `wire` is the same row once more.
    return message.kind === 'insert' ? { kind: message.kind, oid: message.oid, row: message.row } : message;
  } catch (error) {
    if (error instanceof HoldfastError) return `${error.code}: ${error.message}`;
    throw error;
  }
}

test('a row that is left as it came is read as strictly as a decoded one, and says the same', () => {
  const values = fc.array(fc.option(cell, { nil: undefined }), { maxLength: 6 });
  const spoil = fc.option(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { nil: undefined });
  fc.assert(
    fc.property(values, spoil, fc.nat(), (row, spoilt, cut) => {
      const bytes = Buffer.from(write.insert(7, row));
      if (spoilt !== undefined) bytes[spoilt[0] % bytes.length] = spoilt[1];
      for (const some of [bytes, bytes.subarray(0, cut % bytes.length)]) {
        expect(outcome(() => decodeChanges(some))).toEqual(outcome(() => decodeMessage(some)));
      }
    }),
    { numRuns: 2_000 },
  );
});

test('a row that came is written as a line of COPY, whichever columns the target has', () => {
  const text = fc.string({ unit: fc.constantFrom('a', '\\', '\t', '\n', '\r', 'ü', '\u{1f40e}', 'N') });
  const values = fc.array(fc.option(text, { nil: null }), { minLength: 1, maxLength: 6 });
  const escapes = new Map([...'\\\t\n\r'].map((character, at) => [character, `\\${'\\tnr'.charAt(at)}`]));
  fc.assert(
    fc.property(values, fc.array(fc.nat(), { maxLength: 6 }), fc.nat({ max: 9 }), (row, picked, at) => {
      const columns = [...new Set(picked.map((number) => number % row.length))];
      const message = decodeChanges(write.insert(7, row));
      if (message.kind !== 'insert' || message.wire === undefined) throw new Error('no row as it came');
      const { wire } = message;
      expect({ length: wire.length, isWhole: wire.isWhole, tuple: wire.tuple() }).toEqual({
        ...{ length: row.length, isWhole: true, tuple: row },
      });
      expect(wire.cells(columns)).toEqual(columns.map((column) => row[column]));
      const line = columns.map((column) => {
        const value = row[column];
        return value === null || value === undefined
          ? '\\N'
          : [...value].map((character) => escapes.get(character) ?? character).join('');
      });
      const target = Buffer.alloc(at + wire.copyBytesAtMost(columns.length));
      const end = wire.copyTo(target, at, columns);
      expect(target.toString('utf8', at, end)).toBe(`${line.join('\t')}\n`);
    }),
  );
});
