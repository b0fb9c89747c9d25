import { asBatches } from '../../engines/ysql/restore/post-data-batches.ts';
import type { PostDataUnit } from '../../engines/ysql/restore/post-data-unit.ts';

const MIB = 1024 * 1024;

/** Strands of one table each, whose key passes over so many bytes. */
const strandsOf = (...bytes: readonly number[]): readonly (readonly PostDataUnit[])[] =>
  bytes.map((size, place) => [
    {
      database: {},
      id: `table-${place}`,
      entries: [{}],
      lockTables: [],
      bytes: size,
    } as unknown as PostDataUnit,
  ]);

const small = (count: number) => Array.from({ length: count }, () => 1_000);

const sizesOf = (...bytes: readonly number[]) => asBatches(strandsOf(...bytes)).map(({ length }) => length);

test.each([
  { what: 'a tiny restore is one activity', bytes: small(100), batches: [100] },
  { what: '500 small tables are four', bytes: small(500), batches: [125, 125, 125, 125] },
  { what: 'nothing is none', bytes: [], batches: [] },
  {
    what: 'a large table is by itself, and small ones are one',
    bytes: [800 * MIB, ...small(20)],
    batches: [1, 20],
  },
  {
    what: 'large tables are beside each other',
    bytes: [300 * MIB, 200 * MIB, 100 * MIB],
    batches: [1, 1, 1],
  },
])('$what', ({ bytes, batches }) => {
  expect(sizesOf(...bytes)).toEqual(batches);
});

test('batches follow the order of the tables, have about equal work, and every table is in one of them', () => {
  const bytes = [...Array.from({ length: 300 }, (_, place) => 10 * MIB - place * 30_000), ...small(700)];
  const strands = strandsOf(...bytes);
  const batches = asBatches(strands);
  expect(batches.flat()).toEqual(strands.flat());
  const work = batches.map((batch) =>
    batch.reduce((sum, { bytes: size = 0 }) => sum + 4 + size / 150_000, 0),
  );
  expect(Math.min(...work)).toBeGreaterThanOrEqual(400);
  expect(Math.max(...work) / Math.min(...work)).toBeLessThan(1.5);
});

test('100,000 tables make no more activities than a history can bear', () => {
  const batches = asBatches(strandsOf(...small(99_800), ...Array.from({ length: 200 }, () => 500 * MIB)));
  expect(batches.length).toBeLessThanOrEqual(200);
  expect(batches.flat()).toHaveLength(100_000);
});
