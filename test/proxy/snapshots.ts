import type { Client } from 'pg';
import { messageOf } from '../../model/errors.ts';
import { asking, superuser } from './superuser.ts';

/** One of the proxy's own sessions, which keeps one exported snapshot of one database alive. */
interface Holder {
  readonly client: Client;
  readonly snapshotId: string;
  lost: boolean;
}

export interface SnapshotKeeperOptions {
  /** A superuser's URL of any database of the cluster. */
  readonly upstreamUrl: string;
  /** How long after an instant it can be read: `timestamp_history_retention_interval_sec`, milliseconds. */
  readonly historyRetentionMs: number;
  /** How old an instant may be when it is first named, milliseconds: the upstream can't go back in time, it can only keep the present. */
  readonly firstNamingMs: number;
  /**
   * True: an instant before this keeper's start is too old, however recent. Another keeper may have kept it and died, and the data may have changed since
   * then.
   */
  readonly beginsAnew?: boolean;
}

/** An instant that can't be read any more; the message is the one YugabyteDB gives. */
export class SnapshotTooOld extends Error {
  override readonly name = 'SnapshotTooOld';

  constructor(micros: bigint, earliest: bigint) {
    super(
      `Snapshot too old: Snapshot too old. Read point: { physical: ${micros} }, earliest read time allowed: ` +
        `{ physical: ${earliest} }, delta (usec): ${earliest - micros}: kSnapshotTooOld`,
    );
  }
}

/**
 * Time travel by exported snapshots. When an instant is first named, a session exports a snapshot in every database of the cluster, and later readers
 * of the instant use it. A snapshot dies with its session (e.g. when the upstream restarts); the instant is then too old.
 */
export class SnapshotKeeper {
  readonly #options: SnapshotKeeperOptions;
  readonly #startedAt = nowMicros();
  readonly #instants = new Map<bigint, Promise<ReadonlyMap<string, Holder>>>();
  readonly #expiries = new Set<NodeJS.Timeout>();

  constructor(options: SnapshotKeeperOptions) {
    this.#options = options;
  }

  /** Keeps the instant from now on if it is recent; otherwise does nothing. */
  async name(micros: bigint): Promise<void> {
    const age = nowMicros() - micros;
    const isOfAnother = this.#options.beginsAnew === true && micros < this.#startedAt;
    if (!this.#instants.has(micros) && !isOfAnother && age <= BigInt(this.#options.firstNamingMs) * 1000n) {
      this.#instants.set(micros, this.#open());
      const expiry = setTimeout(() => void this.#expire(micros, expiry), this.#options.historyRetentionMs);
      this.#expiries.add(expiry.unref());
    }
    try {
      await this.#instants.get(micros);
    } catch (error) {
      this.#instants.delete(micros);
      throw error;
    }
  }

  /** Returns the id for `SET TRANSACTION SNAPSHOT`. Throws `SnapshotTooOld`. */
  async snapshotAt(micros: bigint, database: string): Promise<string> {
    await this.name(micros);
    const holder = (await this.#instants.get(micros))?.get(database);
    if (holder === undefined || holder.lost) {
      const earliest = nowMicros() - BigInt(this.#options.historyRetentionMs) * 1000n;
      throw new SnapshotTooOld(micros, earliest > micros ? earliest : nowMicros());
    }
    return holder.snapshotId;
  }

  /** Ends the session that blocks dropping or renaming a database. */
  async release(database: string): Promise<void> {
    for (const kept of this.#instants.values()) {
      const holder = (await kept).get(database);
      if (holder !== undefined) await end(holder);
    }
  }

  async close(): Promise<void> {
    for (const expiry of this.#expiries) clearTimeout(expiry);
    const all = await Promise.allSettled(this.#instants.values());
    this.#instants.clear();
    for (const kept of all) {
      if (kept.status === 'fulfilled') await Promise.all([...kept.value.values()].map(end));
    }
  }

  async #expire(micros: bigint, expiry: NodeJS.Timeout): Promise<void> {
    this.#expiries.delete(expiry);
    const kept = this.#instants.get(micros);
    this.#instants.delete(micros);
    await Promise.all([...((await kept)?.values() ?? [])].map(end));
  }

  async #open(): Promise<ReadonlyMap<string, Holder>> {
    const databases = await this.#databases();
    const opened = await Promise.all(databases.map(async (name) => [name, await this.#hold(name)] as const));
    return new Map(opened.flatMap(([name, holder]) => (holder === undefined ? [] : [[name, holder]])));
  }

  async #databases(): Promise<readonly string[]> {
    const found = await asking(this.#options.upstreamUrl, 'yugabytedb databases', (client) =>
      client.query<{ datname: string }>(
        'SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate',
      ),
    );
    return found.rows.map((row) => row.datname);
  }

  /** Holds a snapshot of a database. Undefined when the database is gone: the instant can't be read there. */
  async #hold(database: string): Promise<Holder | undefined> {
    const client = superuser(this.#options.upstreamUrl, database, 'yugabytedb history');
    const state = { lost: false };
    client.on('error', () => {
      state.lost = true;
    });
    try {
      await client.connect();
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      const exported = await client.query<{ id: string }>('SELECT pg_export_snapshot() AS id');
      return Object.assign(state, { client, snapshotId: exported.rows[0]?.id ?? '' });
    } catch (error) {
      process.stderr.write(`history of ${database} is not kept: ${messageOf(error)}\n`);
      await client.end();
      return undefined;
    }
  }
}

async function end(holder: Holder): Promise<void> {
  if (holder.lost) return;
  holder.lost = true;
  await holder.client.end();
}

/** Returns the time of this machine, which is also the upstream's. */
export function nowMicros(): bigint {
  return BigInt(Date.now()) * 1000n;
}
