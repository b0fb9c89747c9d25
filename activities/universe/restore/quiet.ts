import { type HeldSplitting, holdSplitting } from '../splitting.ts';
import { openUniverse } from '../universe.ts';
import { isLoadBalancerEnabled, setLoadBalancer } from '../yb-admin/upkeep.ts';
import type { UniverseRestore } from './context.ts';
import { NOTES, readNote, writeNote } from './ledger.ts';

const ON = 'on';
/** What is put right after the work was cancelled must not be cancelled with it. */
const PUT_RIGHT_MS = 60_000;

/**
 * Replicas stay where they are and tablets don't split, from here until `release`: the load balancer is off, and splitting is
 * held by a lease. How the balancer was before is written down first, so that whoever comes after a crash can put it back.
 */
export async function beQuiet(restore: UniverseRestore): Promise<HeldSplitting> {
  const { admin } = await openUniverse(restore, restore.request.source);
  const wasOn = await isLoadBalancerEnabled(admin);
  await writeNote(restore, NOTES.balancer, wasOn ? [ON] : []);
  await setLoadBalancer(admin, false);
  const splitting = await holdSplitting(admin, restore);
  return {
    lost: splitting.lost,
    release: async () => {
      await splitting.release();
      await endQuiet({ ...restore, signal: AbortSignal.timeout(PUT_RIGHT_MS) });
    },
  };
}

/** Puts the load balancer back as it was before this restore; any number of times, by whoever is left to do it. */
export async function endQuiet(restore: UniverseRestore): Promise<void> {
  const before = await readNote(restore, NOTES.balancer);
  if (before?.[0] !== ON) return;
  const { admin } = await openUniverse(restore, restore.request.source);
  await setLoadBalancer(admin, true);
}
