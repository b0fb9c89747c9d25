import fc from 'fast-check';
import { unionOf } from '../../planning/recovery/range-union.ts';

const at = (ms: number) => new Date(ms).toISOString();
const ranges = fc.array(
  fc.tuple(fc.nat(60), fc.nat(12)).map(([from, length]) => ({ from: at(from), to: at(from + length) })),
  { maxLength: 12 },
);
const holds = (list: readonly { from: string; to: string }[], ms: number) =>
  list.some(({ from, to }) => Date.parse(from) <= ms && ms <= Date.parse(to));

test('a union has the instants of all ranges and no other, in ranges that lie apart', () => {
  fc.assert(
    fc.property(ranges, (list) => {
      const union = unionOf(list);
      for (let ms = 0; ms < 80; ms += 1) expect(holds(union, ms)).toBe(holds(list, ms));
      for (const [index, { from }] of union.entries()) {
        if (index > 0) expect(Date.parse(from)).toBeGreaterThan(Date.parse(union[index - 1]?.to ?? ''));
      }
    }),
  );
});
