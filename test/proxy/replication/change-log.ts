import type { Client } from 'pg';
import { superuser } from '../superuser.ts';
import { Feed, feedSlot } from './feed.ts';
import { hybridOfMicros } from './hybrid-time.ts';
import { dropFeed, MARKERS, prepareFeed } from './install.ts';
import type { Change, Relation, UpstreamMessage } from './messages.ts';
import { type FixedInstant, TimeMachine } from './time-machine.ts';
import type { WrittenRows } from './written-rows.ts';

/** A transaction of the upstream. What only the stand-in wrote has no changes. */
export interface LoggedTransaction {
  /** Rises strictly from one transaction to the next. */
  readonly hybrid: bigint;
  readonly xid: number;
  readonly changes: readonly Change[];
}

type OpenTransaction = { readonly micros: bigint; readonly xid: number; readonly changes: Change[] };
type Mark = { readonly reached: () => void };

/**
 * What was committed in a database since the log began, each transaction with its hybrid time, and reads as of any hybrid time since.
 *
 * A transaction's hybrid time is the upstream's commit timestamp, moved up where transactions before it have as late a one, and behind every
 * instant that was read before the transaction came. So what a read at an instant sees and what a slot sends after it never overlap and
 * leave no gap, whoever writes meanwhile: `instant` has the proof.
 */
export class ChangeLog {
  readonly database: string;
  readonly databaseOid: number;
  /** Whether a publication may name schemas, as from PostgreSQL 15 on. */
  readonly hasSchemas: boolean;
  readonly #admin: Client;
  readonly #feed: Feed;
  readonly #machine: TimeMachine;
  readonly #url: string;
  readonly #transactions: LoggedTransaction[] = [];
  readonly #hybrids = new Map<number, bigint>();
  readonly #relations = new Map<number, Relation>();
  readonly #types = new Map<number, Buffer>();
  /** By transaction: what is sent besides what the upstream logged. */
  readonly #besides = new Map<number, Change[]>();
  readonly #marks = new Map<string, Mark>();
  readonly #instants = new Map<bigint, Promise<FixedInstant>>();
  readonly #waiting = new Set<() => void>();
  #open: OpenTransaction | undefined;
  #last = 0n;
  #markers = 0;
  #lastFix: Promise<unknown> = Promise.resolve();

  private constructor(
    url: string,
    database: string,
    of: { readonly oid: number; readonly hasSchemas: boolean },
    admin: Client,
    machine: TimeMachine,
  ) {
    this.database = database;
    this.databaseOid = of.oid;
    this.hasSchemas = of.hasSchemas;
    this.#url = url;
    this.#admin = admin;
    this.#machine = machine;
    const message = (taken: UpstreamMessage) => this.#take(taken);
    this.#feed = new Feed({ upstreamUrl: url, database, slot: feedSlot(of.oid), message });
  }

  /** Begins the log of a database. The upstream needs `wal_level = logical` and `track_commit_timestamp = on`. */
  static async begin(url: string, database: string): Promise<ChangeLog> {
    const admin = superuser(url, database, 'yugabytedb changes');
    admin.on('error', (error) => process.stderr.write(`changes of ${database}: ${error.message}\n`));
    await admin.connect();
    try {
      const of = await prepareFeed(admin);
      const machine = await TimeMachine.open(url, database, admin);
      const log = new ChangeLog(url, database, of, admin, machine);
      log.#feed.start();
      return log;
    } catch (error) {
      await admin.end();
      throw error;
    }
  }

  /** The transactions after `hybrid`, oldest first. */
  *after(hybrid: bigint): Generator<LoggedTransaction> {
    let at = this.#transactions.length;
    while (at > 0 && (this.#transactions[at - 1]?.hybrid ?? 0n) > hybrid) at -= 1;
    for (const found of this.#transactions.slice(at)) yield found;
  }

  /** Settles when another transaction was logged, or `signal` is aborted. */
  async another(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#waiting.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      if (signal.aborted) return done();
      this.#waiting.add(done);
      return signal.addEventListener('abort', done);
    });
  }

  /** The upstream's clock as a hybrid time. Everything that anybody saw committed before has an earlier one. */
  async now(): Promise<bigint> {
    const found = await this.#admin.query<{ micros: string }>(
      'SELECT floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros',
    );
    return hybridOfMicros(BigInt(found.rows[0]?.micros ?? 0));
  }

  /** True where a read as of this hybrid time is possible. */
  reaches(hybrid: bigint): boolean {
    return hybrid >= this.#machine.since;
  }

  /**
   * The id, for `SET TRANSACTION SNAPSHOT`, of a snapshot that sees exactly the transactions whose hybrid time is no later than this one.
   *
   * A marker is committed, and the feed read up to it. Every transaction that had ended before the caller named the instant is before the marker
   * and has its hybrid time; every transaction after the marker gets one behind the instant. The snapshot lists what it must not see, so it is
   * right whatever the upstream's own snapshots saw.
   */
  async instant(hybrid: bigint): Promise<FixedInstant> {
    const known = this.#instants.get(hybrid);
    if (known !== undefined) return await known;
    const fixed = this.#lastFix.then(async () => await this.#fix(hybrid));
    this.#lastFix = fixed.catch(() => undefined);
    this.#instants.set(hybrid, fixed);
    fixed.catch(() => this.#instants.delete(hybrid));
    return await fixed;
  }

  /** Runs a query as of a hybrid time. */
  async queryAt<Row extends object>(hybrid: bigint, sql: string): Promise<readonly Row[]> {
    const { snapshotId } = await this.instant(hybrid);
    const client = superuser(this.#url, this.database, 'yugabytedb catalogue');
    client.on('error', (error) => process.stderr.write(`catalogue of ${this.database}: ${error.message}\n`));
    await client.connect();
    try {
      // What functions return is estimated so high that everything would be compiled first, which takes seconds.
      await client.query('SET jit = off');
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      await client.query(`SET TRANSACTION SNAPSHOT '${snapshotId}'`);
      const found = await client.query<Row>(sql);
      return found.rows;
    } finally {
      await client.end();
    }
  }

  /** A transaction id that is newer than all that others have, and older than what they get. */
  async newXid(): Promise<string> {
    const found = await this.#admin.query<{ xid: string }>('SELECT txid_current()::text AS xid');
    return found.rows[0]?.xid ?? '';
  }

  /** Has a transaction that has not committed yet, and writes a marker, send these rows too, before its own. */
  sendBesides({ xid, changes }: WrittenRows): void {
    this.#besides.set(xid, [...(this.#besides.get(xid) ?? []), ...changes]);
  }

  /** Those of the relations that are there now. */
  async existing(oids: readonly number[]): Promise<ReadonlySet<number>> {
    const found = await this.#admin.query<{ oid: number }>(
      'SELECT oid::int AS oid FROM pg_class WHERE oid = ANY ($1::oid[])',
      [oids],
    );
    return new Set(found.rows.map(({ oid }) => oid));
  }

  /** A text that differs once a publication, a table or a key has changed. */
  async catalogue(): Promise<string> {
    const found = await this.#admin.query<{ seen: string }>(
      `SELECT string_agg(seen, ' ') AS seen FROM (
         SELECT 'p' || oid || '.' || xmin AS seen FROM pg_publication UNION ALL SELECT 'r' || oid || '.' || xmin FROM pg_publication_rel
         UNION ALL SELECT 'n' || oid || '.' || xmin FROM pg_publication_namespace
         UNION ALL SELECT 'c' || oid || '.' || xmin FROM pg_class WHERE relkind IN ('r', 'p') AND oid >= 16384
         UNION ALL SELECT 'i' || indexrelid || '.' || xmin FROM pg_index WHERE indisprimary AND indexrelid >= 16384 ORDER BY 1) s`,
    );
    return found.rows[0]?.seen ?? '';
  }

  /** Ends the log; with `drop` the upstream forgets the slot too, which takes the upstream to be there. */
  async close(drop: boolean): Promise<void> {
    await this.#feed.close();
    await this.#machine.close();
    try {
      if (drop) await dropFeed(this.#admin, this.databaseOid);
    } finally {
      await this.#admin.end();
    }
  }

  async #fix(hybrid: bigint): Promise<FixedInstant> {
    await this.#mark(() => {
      if (this.#last < hybrid) this.#last = hybrid;
    });
    return await this.#machine.fix(hybrid, this.#hybrids);
  }

  /** Calls `reached` when everything that was committed up to now is logged, before anything that is committed later is. */
  async #mark(reached: () => void): Promise<void> {
    this.#markers += 1;
    const id = `${process.pid}-${this.#markers}-${Date.now()}`;
    const arrived = Promise.withResolvers<void>();
    this.#marks.set(id, {
      reached: () => {
        reached();
        arrived.resolve();
      },
    });
    await this.#admin.query(`INSERT INTO information_schema.${MARKERS} VALUES ($1)`, [id]);
    await arrived.promise;
  }

  #take(message: UpstreamMessage): void {
    if (message.kind === 'begin') {
      this.#open = { micros: message.micros, xid: message.xid, changes: [] };
    } else if (message.kind === 'relation') {
      this.#relations.set(message.relation.oid, message.relation);
    } else if (message.kind === 'type') {
      this.#types.set(message.oid, message.bytes);
    } else if (message.kind === 'commit') {
      this.#commit();
    } else if (message.kind !== 'other') {
      const relation = this.#relations.get(message.oid);
      if (relation === undefined) throw new Error(`a row of the unknown relation ${message.oid}`);
      const types = relation.columns.flatMap(({ type }) => this.#types.get(type) ?? []);
      this.#open?.changes.push({ ...message, relation, types });
    }
  }

  #commit(): void {
    const open = this.#open;
    this.#open = undefined;
    // The feed sends again what it could not acknowledge.
    if (open === undefined || this.#hybrids.has(open.xid)) return;
    const clock = hybridOfMicros(open.micros);
    const hybrid = clock > this.#last ? clock : this.#last + 1n;
    this.#last = hybrid;
    this.#hybrids.set(open.xid, hybrid);
    const own = open.changes.filter(({ relation }) => relation.schema !== 'information_schema');
    const changes = [...(this.#besides.get(open.xid) ?? []), ...own];
    this.#besides.delete(open.xid);
    this.#transactions.push({ hybrid, xid: open.xid, changes });
    for (const done of this.#waiting) done();
    for (const { relation, after } of open.changes) {
      if (relation.name !== MARKERS || relation.schema !== 'information_schema') continue;
      const id = String(after?.[0]);
      this.#marks.get(id)?.reached();
      this.#marks.delete(id);
    }
  }
}
