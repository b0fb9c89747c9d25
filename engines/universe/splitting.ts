import { setTimeout as sleep } from 'node:timers/promises';
import type { VerbContext } from '../engine.ts';
import type { YbAdmin } from './yb-admin/program.ts';
import { holdTabletSplitting, isTabletSplittingComplete } from './yb-admin/upkeep.ts';

/** Long enough to outlive a lost worker's replacement, short enough to be over soon after nobody asks any more. */
const LEASE_MS = 60_000;
const RENEW_MS = 15_000;
const OWNER = 'holdfast';
const SETTLE_MS = 5 * 60_000;
const POLL_MS = 1_000;

export interface HeldSplitting {
  /** Rejects when the lease could not be renewed in time, so that tablets may split. */
  readonly lost: Promise<never>;
  /** No further renewal; what is left of the lease runs out by itself. */
  release(): Promise<void>;
}

/**
 * Keeps tablets from splitting while it is held, by a lease: whatever becomes of this process, the universe splits again a
 * minute later. Returns when splits under way have ended, or after five minutes of waiting for them. Universes that don't
 * split tablets need nothing.
 */
export async function holdSplitting(admin: YbAdmin, verb: VerbContext): Promise<HeldSplitting> {
  const known = await holdTabletSplitting(admin, LEASE_MS, OWNER);
  const end = new AbortController();
  if (!known) return { lost: new Promise<never>(() => undefined), release: async () => end.abort() };
  const deadline = Date.now() + SETTLE_MS;
  while (!(await isTabletSplittingComplete(admin)) && Date.now() < deadline) {
    verb.heartbeat({ waiting: 'tablet splits under way' });
    await sleep(POLL_MS, undefined, { signal: verb.signal });
    await holdTabletSplitting(admin, LEASE_MS, OWNER);
  }
  const renewing = renew(admin, verb, end.signal);
  const lost = renewing.then(() => new Promise<never>(() => undefined));
  // Whoever doesn't wait for it is no reason to end the process.
  lost.catch(() => undefined);
  return {
    lost,
    release: async () => {
      end.abort();
      await renewing.catch(() => undefined);
    },
  };
}

async function renew(admin: YbAdmin, verb: VerbContext, end: AbortSignal): Promise<void> {
  let heldUntil = Date.now() + LEASE_MS;
  while (!end.aborted && !verb.signal.aborted) {
    await pause(RENEW_MS, AbortSignal.any([end, verb.signal]));
    if (end.aborted || verb.signal.aborted) return;
    const asked = Date.now();
    try {
      await holdTabletSplitting(admin, LEASE_MS, OWNER);
      heldUntil = asked + LEASE_MS;
    } catch (error) {
      // One renewal may fail: there are three to a lease.
      if (Date.now() > heldUntil) throw error;
      verb.log('tablet splitting could not be held on', { error: String(error) });
    }
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
