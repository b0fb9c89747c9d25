import type { Client } from 'pg';
import { messageOf } from '../../model/errors.ts';
import { asking, superuser } from './superuser.ts';

/** A session of the proxy's own that keeps one exported snapshot of one database alive. */
interface Holder {
  readonly client: Client;
  readonly snapshotId: string;
  lost: boolean;
}

export interface SnapshotKeeperOptions {
  /** A superuser's URL of any database of the cluster. */
  readonly upstreamUrl: string;
  /** How long an instant can be read after it: `timestamp_history_retention_interval_sec`. */
  readonly historyRetentionMs: number;
  /** How old an instant may be when it is first named: the upstream can't travel back, it can only keep what is. */
  readonly firstNamingMs: number;
  /**
   * An instant of before the keeper's start is too old, however young: another keeper may have kept it and died, and what is there now is not what was then.
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
 * Time travel by exported snapshots: when an instant is first named, every database of the cluster gets a session that exports a snapshot, and whoever
 * names the instant afterwards reads through it. A snapshot dies with its session (a restart of the upstream, say); the instant is then too old.
 */
export class SnapshotKeeper {
  readonly #options: SnapshotKeeperOptions;
  readonly #startedAt = nowMicros();
  readonly #instants = new Map<bigint, Promise<ReadonlyMap<string, Holder>>>();
  readonly #expiries = new Set<NodeJS.Timeout>();

  constructor(options: SnapshotKeeperOptions) {
    this.#options = options;
  }

  /** Keeps the instant from now on if it is a recent one; else does nothing. */
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

  /** The id for `SET TRANSACTION SNAPSHOT`. Throws `SnapshotTooOld`. */
  async snapshotAt(micros: bigint, database: string): Promise<string> {
    await this.name(micros);
    const holder = (await this.#instants.get(micros))?.get(database);
    if (holder === undefined || holder.lost) {
      const earliest = nowMicros() - BigInt(this.#options.historyRetentionMs) * 1000n;
      throw new SnapshotTooOld(micros, earliest > micros ? earliest : nowMicros());
    }
    return holder.snapshotId;
  }

  /** Ends what stands in the way of dropping or renaming a database. */
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

  /** Undefined where the database went away meanwhile: the instant can't be read there. */
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

/** This machine's clock, which is the upstream's too. */
export function nowMicros(): bigint {
  return BigInt(Date.now()) * 1000n;
}
