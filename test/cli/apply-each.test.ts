import { applyEach } from '../../cli/apply/apply-each.ts';
import { permanent, transient } from '../../model/errors.ts';

const CHANGES = ['orders', 'ledger', 'audit'].map((plan) => ({ plan }));

describe('a failure of one plan in apply', () => {
  it('does not stop the others: each plan has a report', async () => {
    const made: string[] = [];
    const outcomes = await applyEach(CHANGES, async ({ plan }) => {
      if (plan === 'ledger') throw permanent('SCHEDULE_REFUSED', 'the server refuses it', 'Correct it.');
      made.push(plan);
    });
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
    const outcomes = await applyEach(CHANGES, async ({ plan }) => {
      tried.push(plan);
      if (plan === 'ledger') throw transient('TEMPORAL_UNREACHABLE', 'it does not answer', 'Try again.');
    });
    expect(tried).toEqual(['orders', 'ledger']);
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['applied', 'failed', 'not tried']);
  });
});
