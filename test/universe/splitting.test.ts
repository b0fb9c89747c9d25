import { setTimeout as sleep } from 'node:timers/promises';
import { quietVerb } from '../../engines/quiet-verb.ts';
import { holdSplitting } from '../../engines/universe/splitting.ts';
import type { YbAdmin } from '../../engines/universe/yb-admin/program.ts';

/** A universe whose masters take so long for the renewals of the lease (the first answer is at once). */
function universeThatTakes(renewalMs: number): YbAdmin {
  let asked = 0;
  return {
    settings: { masters: [] },
    async run(operation) {
      if (operation === 'is_tablet_splitting_complete') return 'is_tablet_splitting_complete: true\n';
      asked += 1;
      if (asked > 1) await sleep(renewalMs);
      return '';
    },
  };
}

const verb = quietVerb(async () => '');

test('a renewal that comes after the end of the lease is told, though it succeeded: tablets may have split', async () => {
  const held = await holdSplitting(universeThatTakes(400), verb, { leaseMs: 200, renewMs: 20 });
  await expect(held.lost).rejects.toMatchObject({ code: 'SPLITTING_LEASE_LAPSED', transient: true });
  await held.release();
});

test('while it is renewed in time, nothing is lost', async () => {
  const held = await holdSplitting(universeThatTakes(0), verb, { leaseMs: 60_000, renewMs: 5 });
  const outcome = await Promise.race([held.lost.catch(() => 'lost'), sleep(100, 'held')]);
  expect(outcome).toBe('held');
  await held.release();
});
