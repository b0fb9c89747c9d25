import { z } from 'zod';
import { defined } from '../model/defined.ts';
import { permanent, recover, transient } from '../model/errors.ts';
import { compareClocks } from './clock.ts';
import { leaseFolder, leaseKey } from './layout.ts';
import { getSealedIfThere, putSealed, replaceSealed } from './sealed-object.ts';
import type { Cancellable, Store } from './store.ts';
import { STORE_LOCKED } from './store-errors.ts';

/** A holder that doesn't renew its lease for this long loses it. */
export const LEASE_MS = 10 * 60_000;

/**
 * Who asks for a lease. Of two attempts with one name the later one wins, so an attempt that was presumed dead finds its lease gone.
 */
export interface LeaseHolder {
  readonly name: string;
  /** When this attempt was scheduled, milliseconds since 1970. */
  readonly sinceMs: number;
}

interface Lease {
  readonly plan: string;
  readonly holder: LeaseHolder;
  readonly until: string;
}

const leaseSchema: z.ZodType<Lease> = z.object({
  plan: z.string(),
  holder: z.object({ name: z.string(), sinceMs: z.number() }),
  until: z.iso.datetime(),
});

/**
 * Takes the lease of a plan. Only its holder deletes backups of the plan, however many installations share the repository. Leases
 * are numbered, and the highest number counts. A conditional put takes the next number, so of two takers one wins. A holder renews
 * its lease by taking the next number.
 *
 * Throws `PRUNE_RUNNING` (transient) while another one holds it, `CLOCK_OFF` (permanent) where this machine's clock and the store's
 * differ by more than an hour.
 */
export async function takeLease(
  store: Store,
  plan: string,
  holder: LeaseHolder,
  options: Cancellable & { readonly now?: Date } = {},
): Promise<void> {
  const now = options.now ?? new Date();
  const { number, lease, older } = await highest(store, plan, options);
  if (lease !== undefined && Date.parse(lease.until) > now.getTime() && !mayFollow(holder, lease.holder)) {
    throw running(plan, lease);
  }
  const mine: Lease = { plan, holder, until: new Date(now.getTime() + LEASE_MS).toISOString() };
  await putSealed(store, leaseKey(plan, number + 1), mine, cancellation(options));
  // Another one may have had the number first, or, while this one stood still, have taken it, renewed it and removed what it had before. And where the answer to
  // our own put was lost and the put repeated, the winner is this holder.
  const winner = await highest(store, plan, options);
  if (winner.lease === undefined || !mayFollow(holder, winner.lease.holder))
    throw running(plan, winner.lease);
  await checkClock(store, plan, number + 1, now, options);
  await removeOlder(
    store,
    [...older, ...(number === 0 ? [] : [leaseKey(plan, number)])],
    cancellation(options),
  );
}

/** Removes leases with lower numbers. Where they can't be deleted they may stay, since only the highest number counts. */
async function removeOlder(store: Store, keys: readonly string[], options: Cancellable): Promise<void> {
  await recover(store.delete(keys, options), STORE_LOCKED, () => undefined);
}

/** Ends the lease, so that the next holder can begin at once. Does nothing if somebody else holds it by now. */
export async function releaseLease(
  store: Store,
  plan: string,
  holder: LeaseHolder,
  options: Cancellable = {},
): Promise<void> {
  const { number, lease } = await highest(store, plan, options);
  if (lease === undefined || !mayFollow(holder, lease.holder)) return;
  // The lease is not deleted: the highest number must never fall, or a reader could take an older one for the present one.
  const ended = { ...lease, until: new Date(0).toISOString() };
  await replaceSealed(store, leaseKey(plan, number), ended, cancellation(options));
}

function mayFollow(holder: LeaseHolder, current: LeaseHolder): boolean {
  return holder.name === current.name && holder.sinceMs >= current.sinceMs;
}

async function highest(
  store: Store,
  plan: string,
  options: Cancellable,
): Promise<{ readonly number: number; readonly lease?: Lease; readonly older: readonly string[] }> {
  const keys = await Array.fromAsync(store.list(leaseFolder(plan), cancellation(options)), ({ key }) => key);
  // Numbers have a fixed width, so names sort by number.
  const [key, ...older] = keys.sort().reverse();
  if (key === undefined) return { number: 0, older: [] };
  const lease = await getSealedIfThere(store, key, leaseSchema, cancellation(options));
  const number = Number(key.slice(leaseFolder(plan).length, -'.json'.length));
  return { number, older, ...defined({ lease }) };
}

async function checkClock(
  store: Store,
  plan: string,
  number: number,
  now: Date,
  options: Cancellable,
): Promise<void> {
  const clocks = await compareClocks(store, leaseKey(plan, number), now, cancellation(options));
  if (clocks?.isFarOff !== true) return;
  throw permanent(
    'CLOCK_OFF',
    `The clock here (${now.toISOString()}) and that of ${store.description} (${clocks.there.toISOString()}) differ by more than an hour; nothing was deleted.`,
    'Set the clocks, then prune again.',
  );
}

function running(plan: string, lease: Lease | undefined) {
  const holder =
    lease === undefined ? 'another one' : `${lease.holder.name}, until ${lease.until} at the latest`;
  return transient(
    'PRUNE_RUNNING',
    `The backups of ${plan} are being pruned elsewhere (${holder}).`,
    'It is tried again; nothing is to be done.',
  );
}

function cancellation({ signal }: Cancellable): Cancellable {
  return defined({ signal });
}
