import { setTimeout as sleep } from 'node:timers/promises';
import { type HoldfastError, transient } from '../../model/errors.ts';
import type { VerbContext } from '../engine.ts';
import type { YbAdmin } from './yb-admin/program.ts';
import { holdTabletSplitting, isTabletSplittingComplete } from './yb-admin/upkeep.ts';

interface LeaseTimes {
  readonly leaseMs: number;
  readonly renewMs: number;
}

/**
 * Long enough for a lost worker's replacement to renew it, and for masters that answer a renewal late, as they do while they make a snapshot of thousands of tables;
 * short enough to end soon after the last renewal.
 */
const TIMES: LeaseTimes = { leaseMs: 180_000, renewMs: 15_000 };
const OWNER = 'holdfast';
const SETTLE_MS = 5 * 60_000;
const POLL_MS = 1_000;

/** A lease on tablet splitting that is renewed until it is released. */
export interface HeldSplitting {
  /** Rejects when the lease could not be renewed in time, so that tablets may split. */
  readonly lost: Promise<never>;
  /** Stops renewing. The rest of the lease runs out by itself. */
  release(): Promise<void>;
}

/**
 * Keeps tablets from splitting by a lease. If this process dies, the universe splits again three minutes later. Returns when splits under way have
 * ended, or after five minutes of waiting for them. A universe that doesn't split tablets needs nothing.
 */
export async function holdSplitting(
  admin: YbAdmin,
  verb: VerbContext,
  times: LeaseTimes = TIMES,
): Promise<HeldSplitting> {
  let askedAt = Date.now();
  const known = await holdTabletSplitting(admin, times.leaseMs, OWNER);
  const end = new AbortController();
  if (!known) return { lost: new Promise<never>(() => undefined), release: async () => end.abort() };
  const deadline = Date.now() + SETTLE_MS;
  while (!(await isTabletSplittingComplete(admin)) && Date.now() < deadline) {
    verb.heartbeat({ waiting: 'tablet splits under way' });
    await sleep(POLL_MS, undefined, { signal: verb.signal });
    askedAt = Date.now();
    await holdTabletSplitting(admin, times.leaseMs, OWNER);
  }
  const renewing = renew(admin, verb, times, askedAt, end.signal);
  const lost = renewing.then(() => new Promise<never>(() => undefined));
  // Prevents an unhandled rejection, which would end the process, if nobody awaits it.
  lost.catch(() => undefined);
  return {
    lost,
    release: async () => {
      end.abort();
      await renewing.catch(() => undefined);
    },
  };
}

async function renew(
  admin: YbAdmin,
  verb: VerbContext,
  { leaseMs, renewMs }: LeaseTimes,
  askedAt: number,
  end: AbortSignal,
): Promise<void> {
  let heldUntil = askedAt + leaseMs;
  while (!end.aborted && !verb.signal.aborted) {
    await pause(renewMs, AbortSignal.any([end, verb.signal]));
    if (end.aborted || verb.signal.aborted) return;
    const asked = Date.now();
    try {
      await holdTabletSplitting(admin, leaseMs, OWNER);
    } catch (error) {
      // A renewal may fail: several fall within a lease.
      if (Date.now() > heldUntil) throw error;
      verb.log('tablet splitting could not be held on', { error: String(error) });
      continue;
    }
    // This process stood still, or the answer took too long: tablets may have split before the lease began anew.
    if (Date.now() > heldUntil) throw leaseLapsed(leaseMs);
    heldUntil = asked + leaseMs;
  }
}

function leaseLapsed(leaseMs: number): HoldfastError {
  return transient(
    'SPLITTING_LEASE_LAPSED',
    `The lease on tablet splitting was not renewed within ${leaseMs / 1_000} s, so tablets may have split`,
    'It is tried again. If this goes on, see why the worker stands still or the masters answer so late.',
  );
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
