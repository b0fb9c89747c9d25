import { applyEach } from '../../cli/apply/apply-each.ts';
import { permanent, transient } from '../../model/errors.ts';

const CHANGES = ['orders', 'ledger', 'audit'].map((plan) => ({ plan }));

describe('a failure of one plan in apply', () => {
  it('does not stop the others: each plan has a report', async () => {
    const made: string[] = [];
    const outcomes = await applyEach(
      CHANGES,
      async ({ plan }) => {
        if (plan === 'ledger') throw permanent('SCHEDULE_REFUSED', 'the server refuses it', 'Correct it.');
        made.push(plan);
      },
      1,
    );
    expect(made).toEqual(['orders', 'audit']);
    expect(outcomes).toEqual([
      { plan: 'orders', outcome: 'applied' },
      {
        plan: 'ledger',
        outcome: 'failed',
        error: { code: 'SCHEDULE_REFUSED', message: 'the server refuses it', remedy: 'Correct it.' },
      },
      { plan: 'audit', outcome: 'applied' },
    ]);
  });

  it('stops the rest where the failure is the server, and says that they were not tried', async () => {
    const tried: string[] = [];
    const outcomes = await applyEach(
      CHANGES,
      async ({ plan }) => {
        tried.push(plan);
        if (plan === 'ledger') throw transient('TEMPORAL_UNREACHABLE', 'it does not answer', 'Try again.');
      },
      1,
    );
    expect(tried).toEqual(['orders', 'ledger']);
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['applied', 'failed', 'not tried']);
  });
});

it('makes as many changes at once as it is told, and keeps their order', async () => {
  const waiting: (() => void)[] = [];
  let most = 0;
  const outcomes = applyEach(
    CHANGES,
    async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push(resolve);
      most = Math.max(most, waiting.length);
      // The later of two ends first.
      if (waiting.length === 2 || waiting.length === 1) setImmediate(() => waiting.pop()?.());
      await promise;
    },
    2,
  );
  expect((await outcomes).map(({ plan }) => plan)).toEqual(['orders', 'ledger', 'audit']);
  expect(most).toBe(2);
});
