import fc from 'fast-check';
import { int32 } from '../../engines/ycql/bytes.ts';
import { cutTables } from '../../engines/ycql/chunks.ts';
import { parseType } from '../../engines/ycql/cql-type.ts';
import { BUCKETS, bucketOf, rangeBounds, type Tablet } from '../../engines/ycql/dialect.ts';
import { refuseWhatCannotBeCarried } from '../../engines/ycql/refusals.ts';
import { compareRows, type ReadRow } from '../../engines/ycql/restore/compare.ts';
import { RowEnds } from '../../engines/ycql/row-ends.ts';
import { joinElements, rowsOf } from '../../engines/ycql/rows.ts';
import type { KeyspaceSchema, TableSchema } from '../../engines/ycql/schema.ts';
import { jsonOf } from '../../engines/ycql/text.ts';
import {
  type CqlPageColumn,
  encodePageFileHeader,
  encodePageHead,
  openPageFile,
  PageRows,
} from '../../repository/backups/cql-pages.ts';

const CASES = 300;

test.each([
  ['text', 'c3a4', 'ä'],
  ['text', '', ''],
  ['int', '', ''],
  ['bigint', '8000000000000000', '-9223372036854775808'],
  ['varint', 'ff7f', '-129'],
  ['decimal', '0000000204d2', '12.34'],
  ['decimal', '00000003fb2e', '-1.234'],
  ['decimal', 'fffffffd05', '5E3'],
  ['double', '7ff8000000000000', 'NaN'],
  ['double', '8000000000000000', '-0'],
  ['float', '3dcccccd', 0.10000000149011612],
  ['boolean', '01', true],
  ['blob', '00ff', '0x00ff'],
  ['date', '80000000', '1970-01-01'],
  ['date', '00000000', '0'],
  ['time', '00000000000003e8', '00:00:00.000001000'],
  ['timestamp', '0000000000000001', '1970-01-01T00:00:00.001Z'],
  ['timestamp', '7fffffffffffffff', '9223372036854775807'],
  ['duration', '020406', '1mo2d3ns'],
  ['duration', '010305', '-1mo-2d-3ns'],
  ['inet', '7f000001', '127.0.0.1'],
  ['uuid', '00112233445566778899aabbccddeeff', '00112233-4455-6677-8899-aabbccddeeff'],
  ['list<int>', '00000002000000040000000100000004ffffffff', [1, -1]],
  ['map<text, int>', '0000000100000001610000000400000002', { a: 2 }],
  ['map<int, int>', '00000001000000040000000100000004000000ff', [[1, 255]]],
  ['tuple<int, text>', '0000000400000001ffffffff', [1, null]],
  ['frozen<"My Type">', '000000017800000004000000ff', { 'a b': 'x', n: 255 }],
  ['vector<float, 2>', '3f80000000000000', [1, 0]],
])('%s 0x%s is told exactly', (type, hex, told) => {
  const types = [
    {
      name: 'My Type',
      fields: [
        { name: 'a b', type: 'text' },
        { name: 'n', type: 'int' },
      ],
    },
  ];
  expect(jsonOf(parseType(type), Buffer.from(hex, 'hex'), types)).toEqual(told);
});

test('types are parsed, and what is none is not', () => {
  expect(parseType('frozen<map<text, frozen<list<"A ""b">>>>')).toEqual({
    kind: 'map',
    frozen: true,
    key: { kind: 'native', name: 'text' },
    value: { kind: 'list', frozen: true, element: { kind: 'udt', frozen: false, name: 'A "b' } },
  });
  for (const wrong of ['', 'list<', 'list<int', 'map<int>', 'int>', 'odd<int>']) {
    expect(() => parseType(wrong)).toThrow(SyntaxError);
  }
});

const cell = fc.option(
  fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
  { nil: null },
);

test('rows that went into a file of pages come out of it, however its bytes are cut', async () => {
  let tried = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.tuple(cell, cell), { minLength: 1, maxLength: 5 }), { maxLength: 5 }),
      fc.integer({ min: 1, max: 40 }),
      async (pages, step) => {
        tried += 1;
        const columns: readonly CqlPageColumn[] = ['a', 'b'].map((name) => ({
          name,
          type: 'blob',
          kind: 'regular',
        }));
        const file = Buffer.concat([
          encodePageFileHeader({ keyspace: 'k', table: 't', columns }),
          ...pages.flatMap((rows, index) => {
            const body = Buffer.concat(
              rows.flat().flatMap((each) => [lengthOf(each), each ?? Buffer.alloc(0)]),
            );
            return [encodePageHead({ rows: rows.length, readAtMs: index, body }), body];
          }),
        ]);
        const blocks = async function* () {
          for (let at = 0; at < file.length; at += step) yield file.subarray(at, at + step);
        };
        const opened = await openPageFile(blocks());
        const found: unknown[] = [];
        for await (const page of opened.pages) found.push([...rowsOf(page, 2)].map((row) => row.map(hexOf)));
        expect(opened.header.columns).toEqual(columns);
        expect(found).toEqual(pages.map((rows) => rows.map((row) => row.map(hexOf))));
        const counter = new PageRows();
        for await (const block of blocks()) counter.add(block);
        counter.end();
        expect(counter.rows).toBe(pages.flat().length);
        if (file.length > 12 && pages.length > 0) {
          const cut = new PageRows();
          cut.add(file.subarray(0, file.length - 1));
          expect(() => cut.end()).toThrow(RangeError);
        }
      },
    ),
    { numRuns: CASES },
  );
  process.stdout.write(`pages: ${tried} files tried\n`);
});

function lengthOf(each: Buffer | null): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(each === null ? -1 : each.length);
  return bytes;
}

function hexOf(each: Buffer | null): string | null {
  return each === null ? null : each.toString('hex');
}

test('every hash is in exactly one chunk, of any table on any tablets', () => {
  let tried = 0;
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.integer({ min: 1, max: BUCKETS - 1 }), { maxLength: 12 }),
      fc.integer({ min: 0, max: 1_000_000 }),
      fc.integer({ min: 20_000, max: 1_000_000 }),
      (splits, estimatedBytes, chunkBytes) => {
        tried += 1;
        const bounds = [0, ...[...splits].sort((one, other) => one - other), BUCKETS];
        const tablets: Tablet[] = bounds
          .slice(0, -1)
          .map((from, index) => ({ from, to: (bounds[index + 1] ?? BUCKETS) - 1, leader: undefined }));
        const chunks = cutTables(
          [{ keyspace: 'k', table: TABLE, selectors: ['"p"'], tablets, estimatedBytes }],
          chunkBytes,
        );
        let next = 0;
        for (const { range } of chunks) {
          if (range.kind !== 'hash') throw new Error(range.kind);
          expect(range.from).toBe(next);
          next = range.to + 1;
        }
        expect(next).toBe(BUCKETS);
        expect(new Set(chunks.map(({ id }) => id)).size).toBe(chunks.length);
      },
    ),
    { numRuns: CASES },
  );
  process.stdout.write(`chunks: ${tried} tables tried\n`);
});

const TABLE: TableSchema = {
  name: 't',
  id: 'id',
  partitionKey: [{ name: 'p', type: 'int' }],
  clustering: [],
  statics: [],
  regulars: [],
  isCounter: false,
  defaultTtlSeconds: 0,
  cassandraOptions: {},
  indexes: [],
};

test('the tokens of a range of hashes are those of its hashes and no others', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: BUCKETS - 1 }),
      fc.integer({ min: 0, max: BUCKETS - 1 }),
      (one, other) => {
        const [from, to] = one < other ? [one, other] : [other, one];
        const [first, last] = rangeBounds('cassandra', from, to);
        expect(bucketOf('cassandra', first)).toBe(from);
        expect(bucketOf('cassandra', last)).toBe(to);
        if (to < BUCKETS - 1) {
          const after = rangeBounds('cassandra', to + 1, to + 1)[0];
          expect(after.readBigInt64BE(0) - last.readBigInt64BE(0)).toBe(1n);
        }
      },
    ),
    { numRuns: CASES },
  );
});

test('a row ends with the last of its cells, whatever its null fields and static columns are', () => {
  const columns: readonly CqlPageColumn[] = [
    { name: 'p', type: 'int', kind: 'partition_key' },
    { name: 'c', type: 'int', kind: 'clustering' },
    { name: 's', type: 'text', kind: 'static' },
    { name: 'u', type: 'address', kind: 'regular' },
    { name: 'u', type: 'list<int>', kind: 'ttl' },
    { name: 'v', type: 'text', kind: 'regular' },
    { name: 'v', type: 'bigint', kind: 'ttl' },
  ];
  const hex = (text: string | null) => (text === null ? null : Buffer.from(text, 'hex'));
  // A field, and a null one, each with its TTL: 7 seconds, and null.
  const [field, ttls] = ['0000000178ffffffff', '000000020000000400000007ffffffff'];
  const endOf = (...cells: readonly (string | null)[]) =>
    new RowEnds(columns).endOf((at) => hex(cells[at] ?? null), 1_000);
  expect(endOf('01', '02', '78', field, ttls, null, null)).toBe(8_000);
  expect(endOf('01', '02', '78', field, ttls, '79', '0000000000000009')).toBe(10_000);
  expect(endOf('01', '02', '78', field, ttls, '79', null)).toBeUndefined();
  expect(endOf('01', '02', '78', null, null, null, null)).toBeUndefined();
});

test('of a collection the elements that last are compared, whatever others have expired', async () => {
  const cell = (...ints: readonly (number | null)[]) =>
    joinElements(
      ints.length,
      ints.map((value) => (value === null ? null : int32(value))),
    );
  const differences = async (
    type: string,
    wanted: readonly Buffer[],
    found: readonly Buffer[],
  ): Promise<readonly string[]> => {
    const columns: readonly CqlPageColumn[] = [
      { name: 'p', type: 'int', kind: 'partition_key' },
      { name: 'v', type, kind: 'regular' },
      { name: 'v', type: 'list<int>', kind: 'ttl' },
    ];
    const rows = async function* (readAtMs: number, cells: readonly Buffer[]): AsyncGenerator<ReadRow> {
      yield { cells: [int32(1), ...cells], readAtMs };
    };
    // Read a minute apart: what had 20 seconds left is gone.
    const options = { columns, table: 't', most: 5, ttlToleranceSeconds: 5 };
    return (await compareRows(rows(0, wanted), rows(60_000, found), options)).differences.map(
      (difference) => / v (.*)$/.exec(difference)?.[1] ?? difference,
    );
  };
  for (const type of ['list<int>', 'set<int>']) {
    const wanted = [cell(1, 2, 9), cell(null, 1_000, 20)];
    expect(await differences(type, wanted, [cell(1, 2), cell(null, 940)])).toEqual([]);
    expect(await differences(type, wanted, [cell(1), cell(null)])).toEqual(['lacks an element']);
    expect(await differences(type, wanted, [cell(1, 2), cell(null, null)])).toEqual([
      'has an element that expires at another time',
    ]);
    expect(await differences(type, wanted, [cell(1, 2, 3), cell(null, 940, null)])).toEqual([
      'holds an element too many',
    ]);
  }
  expect(await differences('list<int>', [cell(9, 9), cell(20, null)], [cell(9), cell(null)])).toEqual([]);
  expect(await differences('list<int>', [cell(1, 9), cell(null, 20)], [cell(2), cell(null)])).toEqual([
    'holds another element',
  ]);
  const map = (...pairs: readonly number[]) => {
    const bytes = cell(...pairs);
    bytes.writeInt32BE(pairs.length / 2);
    return bytes;
  };
  const wanted = [map(1, 10, 2, 20), cell(null, 20)];
  expect(await differences('map<int, int>', wanted, [map(1, 10), cell(null)])).toEqual([]);
  expect(await differences('map<int, int>', wanted, [map(1, 11), cell(null)])).toEqual([
    'holds another element',
  ]);
  const fields = (...ints: readonly (number | null)[]) => cell(...ints).subarray(4);
  const udt = [fields(1, 2, null), cell(null, 20, null)];
  expect(await differences('address', udt, [fields(1, null, null), cell(null, null, null)])).toEqual([]);
  expect(await differences('address', udt, [fields(1, null, 3), cell(null, null, null)])).toEqual([
    'holds an element too many',
  ]);
});

test('two tables compare equal in any order, and any single change is told', async () => {
  const columns: readonly CqlPageColumn[] = [
    { name: 'k', type: 'int', kind: 'partition_key' },
    { name: 'v', type: 'blob', kind: 'regular' },
    { name: 'v', type: 'bigint', kind: 'writetime' },
  ];
  const options = { columns, table: 't', most: 5, ttlToleranceSeconds: 5 };
  const row = fc.tuple(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ maxLength: 6 }),
    fc.uint8Array({ minLength: 8, maxLength: 8 }),
  );
  const asRows = async function* (rows: readonly (readonly Uint8Array[])[]): AsyncGenerator<ReadRow> {
    for (const cells of rows) yield { cells: cells.map((each) => Buffer.from(each)), readAtMs: 0 };
  };
  let tried = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(row, {
        minLength: 1,
        maxLength: 8,
        selector: ([key]) => Buffer.from(key).toString('hex'),
      }),
      fc.nat(),
      fc.integer({ min: 0, max: 2 }),
      async (rows, place, column) => {
        tried += 1;
        expect((await compareRows(asRows(rows), asRows([...rows].reverse()), options)).differences).toEqual(
          [],
        );
        const at = place % rows.length;
        const changed = rows.map((cells, index) =>
          index === at
            ? cells.map((each, index2) =>
                index2 === column ? Uint8Array.from([...each, 7]).slice(-Math.max(1, each.length)) : each,
              )
            : cells,
        );
        const isChange =
          Buffer.compare(Buffer.from(changed[at]?.[column] ?? []), Buffer.from(rows[at]?.[column] ?? [])) !==
          0;
        const { differences } = await compareRows(asRows(rows), asRows(changed), options);
        expect(differences.length > 0).toBe(isChange);
        expect((await compareRows(asRows(rows), asRows(rows.slice(1)), options)).differences).toHaveLength(1);
      },
    ),
    { numRuns: CASES },
  );
  process.stdout.write(`comparison: ${tried} tables tried\n`);
});

describe('the comparison of rows alone, in a table that holds others', () => {
  const KEY = Buffer.from('Geheimnis');
  const columns: readonly CqlPageColumn[] = [
    { name: 'p', type: 'text', kind: 'partition_key' },
    { name: 'c', type: 'int', kind: 'clustering' },
    { name: 's', type: 'text', kind: 'static' },
    { name: 'v', type: 'text', kind: 'regular' },
  ];
  const text = (value: string | null) => (value === null ? null : Buffer.from(value));
  const rowsOfOne = async function* (row: ReadRow) {
    yield await Promise.resolve(row);
  };
  const differences = async (
    expected: { readonly s: string | null; readonly v: string | null } & Pick<
      ReadRow,
      'endsAtMs' | 'staticsEndAtMs'
    >,
    actual: { readonly s: string | null; readonly v: string | null },
  ) => {
    const { s, v, ...ends } = expected;
    const key = [KEY, Buffer.alloc(4)];
    const found = await compareRows(
      rowsOfOne({ cells: [...key, text(s), text(v)], readAtMs: 0, ...ends }),
      rowsOfOne({ cells: [...key, text(actual.s), text(actual.v)], readAtMs: 1_000_000 }),
      { columns, table: 't', most: 5, ttlToleranceSeconds: 5, othersAllowed: true },
    );
    return found.differences;
  };

  test('takes what stands in the place of a row, or of static columns, that had ended for the target’s own', async () => {
    const others = { s: 'theirs', v: 'theirs too' };
    expect(await differences({ s: 'theirs', v: 'mine', endsAtMs: 900_000 }, others)).toEqual([]);
    expect(await differences({ s: 'mine', v: 'theirs too', staticsEndAtMs: 900_000 }, others)).toEqual([]);
    // What hasn't ended is compared.
    expect(await differences({ s: 'mine', v: 'mine', endsAtMs: 900_000 }, others)).toEqual([
      expect.stringContaining('column s '),
    ]);
    expect(await differences({ s: 'mine', v: 'mine', staticsEndAtMs: 900_000 }, others)).toEqual([
      expect.stringContaining('column v '),
    ]);
    expect(await differences({ s: 'theirs', v: 'mine', endsAtMs: 1_900_000 }, others)).toHaveLength(1);
  });

  test('names row and column, and no value', async () => {
    const [difference] = await differences({ s: 'x', v: 'Zahl 4711' }, { s: 'x', v: 'Zahl 4712' });
    expect(difference).toMatch(
      /^t row [0-9a-f]{12}: column v holds another value, 9 bytes instead of 9 bytes$/,
    );
    for (const value of [KEY, Buffer.from('4711'), Buffer.from('4712')]) {
      expect(difference).not.toContain(value.toString());
      expect(difference).not.toContain(value.toString('hex'));
    }
  });
});

test('user-defined types that CQL would take for its own are refused by name, and others are not', () => {
  const keyspace = (...names: string[]): KeyspaceSchema => ({
    ...{ keyspace: 'shop', replication: {}, durableWrites: true, tables: [], notCarried: [] },
    types: names.map((name) => ({ name, fields: [{ name: 'a', type: 'int' }] })),
  });
  expect(() => refuseWhatCannotBeCarried([keyspace('place', 'Text', 'a text', 'texts')])).not.toThrow();
  for (const name of ['text', 'jsonb', 'frozen', 'vector', 'enum', 'macaddr']) {
    expect(() => refuseWhatCannotBeCarried([keyspace('place', name)])).toThrow(
      expect.objectContaining({
        code: 'YCQL_CANNOT_CARRY',
        message: expect.stringContaining(`: shop."${name}". `),
      }),
    );
  }
});
