import { restoresFolder } from '../../../repository/layout.ts';
import { type HeldSplitting, holdSplitting } from '../splitting.ts';
import { openUniverse } from '../universe.ts';
import { isLoadBalancerEnabled, setLoadBalancer } from '../yb-admin/upkeep.ts';
import type { UniverseRestore } from './context.ts';
import { forgetLost, NOTES, readNote, writeNote } from './ledger.ts';

const ON = 'on';
/** How long the clean-up may take. It has a signal of its own, so that a cancellation of the work doesn't stop it. */
const PUT_RIGHT_MS = 60_000;

/**
 * Keeps replicas where they are and tablets whole until `release`: switches the load balancer off, and holds splitting by a lease. First notes how
 * the balancer was before, so that whoever comes after a crash can put it back.
 */
export async function beQuiet(restore: UniverseRestore): Promise<HeldSplitting> {
  const { admin } = await openUniverse(restore, restore.request.source);
  const isOn = await isLoadBalancerEnabled(admin);
  const lost = isOn ? [] : await lostNotes(restore);
  const wasOn = isOn || lost.some(({ before }) => before === ON);
  await writeNote(restore, NOTES.balancer, wasOn ? [ON] : []);
  // Only now: until this restore's own note stands, theirs alone say that the balancer is to be switched on again.
  for (const { of } of lost) await forgetLost(of);
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

interface LostNote {
  /** The restore that wrote it. */
  readonly of: UniverseRestore;
  readonly before: string | undefined;
}

/**
 * What earlier restores of this plan noted that switched the load balancer off, and were lost with their workers before they could put it back. One restore
 * of a universe runs at a time, so a restore that left such a note is gone.
 */
async function lostNotes(restore: UniverseRestore): Promise<readonly LostNote[]> {
  const { store, signal, request } = restore;
  const notes: LostNote[] = [];
  for await (const other of store.folders(restoresFolder(request.from.plan), { signal })) {
    if (other === request.restore) continue;
    const of = { ...restore, request: { ...request, restore: other } };
    const note = await readNote(of, NOTES.balancer);
    if (note !== undefined) notes.push({ of, before: note[0] });
  }
  return notes;
}

/** Puts the load balancer back as it was before this restore. Any process may call it, any number of times. */
export async function endQuiet(restore: UniverseRestore): Promise<void> {
  const before = await readNote(restore, NOTES.balancer);
  if (before?.[0] !== ON) return;
  const { admin } = await openUniverse(restore, restore.request.source);
  await setLoadBalancer(admin, true);
}
