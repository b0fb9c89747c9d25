import { z } from 'zod';
import { defined } from '../../model/defined.ts';
import { permanent, transient } from '../../model/errors.ts';
import { getSealedIfThere, putSealed, replaceSealed } from '../sealed-object.ts';
import type { Cancellable, Store } from '../store.ts';
import { staysForPrune } from '../store-errors.ts';
import { type ArchiveId, archiveLeaseFolder, archiveLeaseKey } from './names.ts';

/** A holder that is silent for longer has lost the lease. */
export const ARCHIVE_LEASE_MS = 60_000;

/** The lease of an archive was taken over: this archiver must store nothing more. */
export const ARCHIVE_LEASE_LOST = 'ARCHIVE_LEASE_LOST';

interface Lease {
  readonly formatVersion: 1;
  /** Who streams: the run of a workflow. */
  readonly owner: string;
  /** Unique to one attempt, so that an attempt never takes another's lease for its own. */
  readonly token: string;
  /** When the attempt was scheduled, milliseconds since 1970. Of one owner's attempts the later takes over at once. */
  readonly sinceMs: number;
  readonly until: string;
}

const leaseSchema: z.ZodType<Lease> = z.object({
  formatVersion: z.literal(1),
  owner: z.string(),
  token: z.string(),
  sinceMs: z.number(),
  until: z.iso.datetime(),
});

/**
 * The fence of one database's archive: only its holder stores segments. Leases are numbered and the highest number counts, as with the
 * lease of retention (`lease.ts`), since a store has no conditional replacement. The next number is taken by a conditional put, so of
 * two takers one wins. A renewal takes the next number.
 */
export class ArchiveLease {
  readonly #store: Store;
  readonly #id: ArchiveId;
  readonly #holder: Holder;
  readonly #now: () => number;
  #number: number;
  #untilMs: number;

  private constructor(store: Store, id: ArchiveId, holder: Holder, number: number, untilMs: number) {
    this.#store = store;
    this.#id = id;
    this.#holder = holder;
    this.#now = holder.now ?? Date.now;
    this.#number = number;
    this.#untilMs = untilMs;
  }

  /** Throws `ARCHIVE_RUNNING` (transient) while another one holds it. */
  static async take(
    store: Store,
    id: ArchiveId,
    holder: Holder,
    options: Cancellable = {},
  ): Promise<ArchiveLease> {
    const now = holder.now ?? Date.now;
    const { number, lease, older } = await highest(store, id, options);
    if (lease !== undefined && Date.parse(lease.until) > now() && !mayFollow(holder, lease)) {
      throw running(id, lease);
    }
    const untilMs = now() + ARCHIVE_LEASE_MS;
    await putSealed(store, archiveLeaseKey(id, number + 1), leaseOf(holder, untilMs), options);
    // Another one may have had the number first, or, while this one stood still, have taken it, renewed it and removed what it had before. The answer to our own
    // put may have been lost and the put done again, so tokens are compared.
    const winner = await highest(store, id, options);
    if (winner.lease?.token !== holder.token) throw running(id, winner.lease);
    await removeOlder(store, [...older, ...(number === 0 ? [] : [archiveLeaseKey(id, number)])], options);
    return new ArchiveLease(store, id, holder, number + 1, untilMs);
  }

  /** When it ends unless it is renewed, milliseconds since 1970. */
  get untilMs(): number {
    return this.#untilMs;
  }

  /**
   * To be called before anything is stored. Renews the lease where a third of its time has passed. Otherwise it looks whether somebody
   * took it over. Throws `ARCHIVE_LEASE_LOST` (permanent for this attempt).
   */
  async hold(options: Cancellable = {}): Promise<void> {
    const remaining = this.#untilMs - this.#now();
    if (remaining < (ARCHIVE_LEASE_MS * 2) / 3) return this.renew(options);
    const { number, lease } = await highest(this.#store, this.#id, options);
    if (number !== this.#number) throw lost(this.#id, lease);
  }

  /** Throws `ARCHIVE_LEASE_LOST` where another one took the next number. */
  async renew(options: Cancellable = {}): Promise<void> {
    const untilMs = this.#now() + ARCHIVE_LEASE_MS;
    await replaceSealed(
      this.#store,
      archiveLeaseKey(this.#id, this.#number),
      leaseOf(this.#holder, untilMs),
      options,
    );
    // Looked at after the renewal, so that of this one and of one who takes over at the same time at least one sees the other.
    const { number, lease } = await highest(this.#store, this.#id, options);
    if (number !== this.#number) throw lost(this.#id, lease);
    this.#untilMs = untilMs;
  }

  /** Ends it, so that the next holder can begin at once. One that another holds by now is left alone. */
  async release(options: Cancellable = {}): Promise<void> {
    const { number } = await highest(this.#store, this.#id, options);
    if (number !== this.#number) return;
    // It is not deleted: numbers only rise, so a reader can't take an older one for the highest.
    const ended = leaseOf(this.#holder, 0);
    await replaceSealed(this.#store, archiveLeaseKey(this.#id, number), ended, options);
  }
}

/** Credentials may not be allowed to delete. Then they stay, and count for nothing. */
async function removeOlder(store: Store, keys: readonly string[], options: Cancellable): Promise<void> {
  try {
    await store.delete(keys, options);
  } catch (error) {
    if (!staysForPrune(error)) throw error;
  }
}

export interface Holder {
  readonly owner: string;
  readonly token: string;
  readonly sinceMs: number;
  readonly now?: () => number;
}

function mayFollow(holder: Holder, current: Lease): boolean {
  return holder.owner === current.owner && holder.sinceMs >= current.sinceMs;
}

function leaseOf({ owner, token, sinceMs }: Holder, untilMs: number): Lease {
  return { formatVersion: 1, owner, token, sinceMs, until: new Date(untilMs).toISOString() };
}

async function highest(
  store: Store,
  id: ArchiveId,
  options: Cancellable,
): Promise<{ readonly number: number; readonly lease?: Lease; readonly older: readonly string[] }> {
  const folder = archiveLeaseFolder(id);
  const keys = await Array.fromAsync(store.list(folder, options), ({ key }) => key);
  // Of fixed width: names sort by number.
  const [key, ...older] = keys.sort().reverse();
  if (key === undefined) return { number: 0, older: [] };
  const number = Number(key.slice(folder.length, -'.json'.length));
  const lease = await getSealedIfThere(store, key, leaseSchema, options);
  // Another one took the next number and removed this one between the two requests.
  if (lease === undefined) return highest(store, id, options);
  return { number, older, ...defined({ lease }) };
}

function running({ plan, database }: ArchiveId, lease: Lease | undefined) {
  const holder = lease === undefined ? 'another one' : `${lease.owner}, until ${lease.until} at the latest`;
  return transient(
    'ARCHIVE_RUNNING',
    `The changes of database ${database} are being archived for plan ${plan} elsewhere (${holder}).`,
    'It is tried again; if another Holdfast with a plan of this name uses the repository, rename one of the plans.',
  );
}

function lost({ plan, database }: ArchiveId, lease: Lease | undefined) {
  return permanent(
    ARCHIVE_LEASE_LOST,
    `Another archiver (${lease?.owner ?? 'unknown'}) took over the archive of database ${database} of plan ${plan}; this one stored nothing since.`,
    'Nothing is to be done if a worker was taken for dead; otherwise see that only one Holdfast runs the plan.',
  );
}
