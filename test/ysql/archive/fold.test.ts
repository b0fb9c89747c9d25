import fc from 'fast-check';
import {
  type FoldedRow,
  KeyedFold,
  KeylessFold,
  type RowChange,
} from '../../../engines/ysql/archive/fold.ts';
import { decodeChanges, type Tuple } from '../../../engines/ysql/archive/messages.ts';
import * as write from './pgoutput.ts';

const insert = (...row: Tuple): RowChange => ({ kind: 'insert', oid: 1, row });
/** The same as it comes from an archive. */
function came(row: Tuple): RowChange {
  const message = decodeChanges(write.insert(1, row));
  if (message.kind !== 'insert') throw new Error('no insert');
  return message;
}
const remove = (key: string): RowChange => ({
  kind: 'delete',
  oid: 1,
  old: { of: 'key', tuple: [key, null, null] },
});
const update = (...row: Tuple): RowChange => ({ kind: 'update', oid: 1, row });
const rekey = (from: string, ...row: Tuple): RowChange => ({
  kind: 'update',
  oid: 1,
  old: { of: 'key', tuple: [from, null, null] },
  row,
});

function folded(...changes: readonly RowChange[]): readonly FoldedRow[] {
  const fold = new KeyedFold('public.t', [0]);
  for (const change of changes) fold.add(change);
  return fold.rows();
}

const UNSET: Tuple = [undefined, undefined, undefined];

test.each<readonly [string, readonly RowChange[], readonly FoldedRow[]]>([
  [
    'an old row of which nothing is set says nothing, as YugabyteDB sends it',
    [{ kind: 'update', oid: 1, old: { of: 'key', tuple: UNSET }, row: ['1', undefined, 'y'] }],
    [{ key: ['1'], existed: true, row: ['1', undefined, 'y'], origin: ['1'] }],
  ],
  [
    'a key that changes as a row that goes and one that comes, as YugabyteDB sends it',
    [remove('1'), insert('2', 'a', 'x'), update('2', undefined, 'y')],
    [
      { key: ['1'], existed: true },
      { key: ['2'], existed: false, row: ['2', 'a', 'y'] },
    ],
  ],
  [
    'of many updates the last one counts',
    [update('1', 'a', 'x'), update('1', 'b', 'y')],
    [{ key: ['1'], existed: true, row: ['1', 'b', 'y'] }],
  ],
  ['what comes and goes leaves nothing', [insert('1', 'a', 'x'), remove('1')], []],
  [
    'what comes again is the new row',
    [insert('1', 'a', 'x'), remove('1'), insert('1', 'b', null)],
    [{ key: ['1'], existed: false, row: ['1', 'b', null] }],
  ],
  [
    'what goes and comes again was there',
    [remove('1'), insert('1', 'b', 'y')],
    [{ key: ['1'], existed: true, row: ['1', 'b', 'y'] }],
  ],
  [
    'what is left unset comes from the row before',
    [update('1', undefined, 'x'), update('1', undefined, 'y')],
    [{ key: ['1'], existed: true, row: ['1', undefined, 'y'], origin: ['1'] }],
  ],
  [
    'a value set before is not taken from the database',
    [update('1', 'a', 'x'), update('1', undefined, 'y')],
    [{ key: ['1'], existed: true, row: ['1', 'a', 'y'] }],
  ],
  [
    "two rows may take each other's keys",
    [rekey('1', '3', undefined, 'one'), rekey('2', '1', undefined, 'two'), rekey('3', '2', undefined, 'one')],
    [
      { key: ['1'], existed: true, row: ['1', undefined, 'two'], origin: ['2'] },
      { key: ['2'], existed: true, row: ['2', undefined, 'one'], origin: ['1'] },
    ],
  ],
])('%s', (_, changes, rows) => {
  expect(folded(...changes).toSorted((a, b) => String(a.key).localeCompare(String(b.key)))).toEqual(rows);
});

test.each<readonly [string, readonly RowChange[]]>([
  ['a row that comes twice', [insert('1', 'a', 'x'), insert('1', 'a', 'x')]],
  ['a row that goes twice', [remove('1'), remove('1')]],
  ['an update of what has gone', [remove('1'), update('1', 'a', 'x')]],
  ['a key that another row has', [update('1', 'a', 'x'), rekey('2', '1', 'b', 'y')]],
])('%s is refused, since the archive must lack a change or have one twice', (_, changes) => {
  expect(() => folded(...changes)).toThrow(expect.objectContaining({ code: 'ARCHIVE_INCONSISTENT' }));
});

test('a fold of any changes says the same as the changes one by one', () => {
  const step = fc.record({
    what: fc.constantFrom('insert', 'delete', 'update', 'rekey'),
    key: fc.nat({ max: 4 }),
    to: fc.nat({ max: 4 }),
    large: fc.option(fc.constantFrom('A', 'B'), { nil: undefined }),
    small: fc.constantFrom('p', 'q'),
    asItCame: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.uniqueArray(fc.nat({ max: 4 })), (steps, present) => {
      const before = new Map(present.map((key) => [String(key), [String(key), `base ${key}`, '0'] as Tuple]));
      const rows = new Map(before);
      const fold = new KeyedFold('public.t', [0]);
      for (const { what, key, to, large, small, asItCame } of steps) {
        const [from, target] = [String(key), String(to)];
        const known = rows.get(from);
        if (what === 'insert' && known === undefined) {
          rows.set(from, [from, large ?? null, small]);
          fold.add(asItCame ? came([from, large ?? null, small]) : insert(from, large ?? null, small));
        } else if (what === 'delete' && known !== undefined) {
          rows.delete(from);
          fold.add(remove(from));
        } else if (what === 'update' && known !== undefined) {
          rows.set(from, [from, large ?? known[1], small]);
          fold.add(update(from, large, small));
        } else if (what === 'rekey' && known !== undefined && !rows.has(target)) {
          rows.delete(from);
          rows.set(target, [target, large ?? known[1], small]);
          fold.add(rekey(from, target, large, small));
        }
      }
      const applied = new Map(before);
      for (const { key, existed } of fold.rows()) {
        expect(before.has(String(key[0]))).toBe(existed);
        applied.delete(String(key[0]));
      }
      for (const { key, wire, row = wire?.tuple(), origin } of fold.rows()) {
        if (row === undefined) continue;
        const old = before.get(String(origin?.[0]));
        applied.set(
          String(key[0]),
          row.map((value, at) => (value === undefined ? old?.[at] : value)),
        );
      }
      expect(Object.fromEntries(applied)).toEqual(Object.fromEntries(rows));
    }),
    { numRuns: 500 },
  );
});

test('equal rows without a key are counted, not told apart', () => {
  const fold = new KeylessFold('public.t');
  const old = (...tuple: Tuple) => ({ of: 'row', tuple }) as const;
  fold.add({ kind: 'insert', oid: 1, row: ['a', null] });
  fold.add({ kind: 'insert', oid: 1, row: ['a', null] });
  fold.add({ kind: 'delete', oid: 1, old: old('a', null) });
  fold.add({ kind: 'update', oid: 1, old: old('b', 'large'), row: ['c', undefined] });
  expect(fold.copies()).toEqual([
    { row: ['a', null], change: 1 },
    { row: ['b', 'large'], change: -1 },
    { row: ['c', 'large'], change: 1 },
  ]);
  expect(() => fold.add(remove('1'))).toThrow(/doesn't hold the whole row/);
});
