import fc from 'fast-check';
import { exclude, type LockRequest, mayMeet } from '../../model/source-lock.ts';
import { SourceLock } from '../../workflows/source-lock.ts';

const request = (
  holder: string,
  mode: LockRequest['mode'],
  databases: readonly string[] = [],
): LockRequest => ({
  ...{ holder, mode, title: holder, since: '2026-11-23T04:00:00.000Z' },
  databases: { include: databases, exclude: [] },
});
const newLock = () => new SourceLock({ holders: [], waiting: [] });

test.each([
  [[], ['orders'], true],
  [['orders'], ['orders'], true],
  [['orders'], ['billing'], false],
  [['orders_*'], ['orders_eu'], true],
  [['orders_*'], ['billing'], false],
  [['orders_?'], ['billing_*'], true],
  [['a.b'], ['axb'], false],
])('databases %j and %j may meet: %s', (one, other, meet) => {
  const patterns = (include: readonly string[]) => ({ include, exclude: [] });
  expect(mayMeet(patterns(one), patterns(other))).toBe(meet);
  expect(mayMeet(patterns(other), patterns(one))).toBe(meet);
});

test('backups go together, an overwriting restore alone, and nobody overtakes it', () => {
  const lock = newLock();
  for (const entering of [
    request('b1', 'together'),
    request('b2', 'together'),
    request('r', 'alone'),
    request('b3', 'together'),
  ]) {
    lock.request(entering);
  }
  expect(lock.grant()).toEqual(['b1', 'b2']);
  lock.release('b1');
  expect(lock.grant()).toEqual([]);
  lock.release('b2');
  expect(lock.grant()).toEqual(['r']);
  lock.release('r');
  expect(lock.grant()).toEqual(['b3']);
});

test('a run that asks again keeps its place and is told again', () => {
  const lock = newLock();
  lock.request(request('b', 'together'));
  expect(lock.grant()).toEqual(['b']);
  expect(lock.grant()).toEqual([]);
  lock.request(request('b', 'together'));
  expect(lock.grant()).toEqual(['b']);
});

test('whatever comes and goes, no two that exclude each other are in, and who waits is let in when all before it left', () => {
  const arrival = fc.record({
    mode: fc.constantFrom<LockRequest['mode']>('together', 'alone'),
    databases: fc.subarray(['a', 'b', 'c*']),
    leaves: fc.array(fc.nat(20), { maxLength: 3 }),
  });
  let cases = 0;
  fc.assert(
    fc.property(fc.array(arrival, { maxLength: 20 }), fc.boolean(), (arrivals, isReset) => {
      cases += 1;
      let lock = newLock();
      for (const [index, { mode, databases, leaves }] of arrivals.entries()) {
        lock.request(request(`r${index}`, mode, databases));
        lock.grant();
        for (const leaving of leaves) lock.release(`r${leaving}`);
        lock.grant();
        if (isReset) lock = new SourceLock(lock.state);
        const { holders, waiting } = lock.state;
        for (const [at, one] of holders.entries()) {
          for (const other of holders.slice(at + 1)) expect(exclude(one, other)).toBe(false);
        }
        const [first] = waiting;
        if (first !== undefined) expect(holders.some((holder) => exclude(holder, first))).toBe(true);
      }
      while (!lock.isEmpty) {
        const [first] = lock.state.holders;
        expect(first).toBeDefined();
        lock.release(first?.holder ?? '');
        lock.grant();
      }
    }),
    { numRuns: 2_000 },
  );
  process.stdout.write(`lock: ${cases} sequences of arrivals tried\n`);
});
