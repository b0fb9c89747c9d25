import fc from 'fast-check';
import { exclude, mayMeet, type SourceClaim } from '../../model/source-claim.ts';
import { Gate } from '../../workflows/gate.ts';

const claim = (
  holder: string,
  mode: SourceClaim['mode'],
  databases: readonly string[] = [],
): SourceClaim => ({
  ...{ holder, mode, title: holder, since: '2026-11-23T04:00:00.000Z' },
  databases: { include: databases, exclude: [] },
});
const newGate = () => new Gate({ holders: [], waiting: [] });

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
  const gate = newGate();
  for (const entering of [
    claim('b1', 'together'),
    claim('b2', 'together'),
    claim('r', 'alone'),
    claim('b3', 'together'),
  ]) {
    gate.enter(entering);
  }
  expect(gate.admit()).toEqual(['b1', 'b2']);
  gate.leave('b1');
  expect(gate.admit()).toEqual([]);
  gate.leave('b2');
  expect(gate.admit()).toEqual(['r']);
  gate.leave('r');
  expect(gate.admit()).toEqual(['b3']);
});

test('a run that asks again keeps its place and is told again', () => {
  const gate = newGate();
  gate.enter(claim('b', 'together'));
  expect(gate.admit()).toEqual(['b']);
  expect(gate.admit()).toEqual([]);
  gate.enter(claim('b', 'together'));
  expect(gate.admit()).toEqual(['b']);
});

test('whatever comes and goes, no two that exclude each other are in, and who waits is let in when all before it left', () => {
  const arrival = fc.record({
    mode: fc.constantFrom<SourceClaim['mode']>('together', 'alone'),
    databases: fc.subarray(['a', 'b', 'c*']),
    leaves: fc.array(fc.nat(20), { maxLength: 3 }),
  });
  let cases = 0;
  fc.assert(
    fc.property(fc.array(arrival, { maxLength: 20 }), fc.boolean(), (arrivals, isReset) => {
      cases += 1;
      let gate = newGate();
      for (const [index, { mode, databases, leaves }] of arrivals.entries()) {
        gate.enter(claim(`r${index}`, mode, databases));
        gate.admit();
        for (const leaving of leaves) gate.leave(`r${leaving}`);
        gate.admit();
        if (isReset) gate = new Gate(gate.state);
        const { holders, waiting } = gate.state;
        for (const [at, one] of holders.entries()) {
          for (const other of holders.slice(at + 1)) expect(exclude(one, other)).toBe(false);
        }
        const [first] = waiting;
        if (first !== undefined) expect(holders.some((holder) => exclude(holder, first))).toBe(true);
      }
      while (!gate.isEmpty) {
        const [first] = gate.state.holders;
        expect(first).toBeDefined();
        gate.leave(first?.holder ?? '');
        gate.admit();
      }
    }),
    { numRuns: 2_000 },
  );
  process.stdout.write(`gate: ${cases} sequences of arrivals tried\n`);
});
