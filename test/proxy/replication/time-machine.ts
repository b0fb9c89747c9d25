import type { Client } from 'pg';
import { superuser } from '../superuser.ts';
import { hybridOfMicros } from './hybrid-time.ts';

/** An instant that can be read. */
export interface FixedInstant {
  /** For `SET TRANSACTION SNAPSHOT`. */
  readonly snapshotId: string;
}

/** Transaction ids are compared modulo 2^32; a test's cluster is too young for that to matter. */
const XIDS = 4_294_967_296n;
const RETRY_MS = 2;

/**
 * Snapshots of a database as of any instant since the machine was opened. An exported snapshot of PostgreSQL is a text file that lists the
 * transactions that it does not see (snapmgr.c, ExportSnapshot and ImportSnapshot), and any list will do as long as a session still keeps the rows of
 * then: the anchor, a transaction that stays open. So the machine writes such files itself.
 */
export class TimeMachine {
  /** The first hybrid time that can be read. */
  readonly since: bigint;
  readonly #anchor: Client;
  readonly #admin: Client;
  readonly #template: string;
  readonly #folder: string;
  readonly #oldest: number;
  /** Transactions and subtransactions that committed since the machine was opened, with their commit timestamps as hybrid times. */
  readonly #committed = new Map<number, bigint>();
  /** Every older transaction has ended. */
  #unsettled: number;
  #files = 0;

  private constructor(
    since: bigint,
    anchor: Client,
    admin: Client,
    template: string,
    folder: string,
    oldest: number,
  ) {
    this.since = since;
    this.#anchor = anchor;
    this.#admin = admin;
    this.#template = template;
    this.#folder = folder;
    this.#oldest = oldest;
    this.#unsettled = oldest;
  }

  static async open(url: string, database: string, admin: Client): Promise<TimeMachine> {
    const anchor = superuser(url, database, 'yugabytedb history');
    anchor.on('error', (error) => process.stderr.write(`history of ${database}: ${error.message}\n`));
    await anchor.connect();
    await anchor.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const exported = await anchor.query<{ id: string }>('SELECT pg_export_snapshot() AS id');
    const found = await admin.query<{ template: string; folder: string; micros: string }>(
      `SELECT pg_read_file('pg_snapshots/' || $1::text) AS template, current_setting('data_directory') || '/pg_snapshots' AS folder,
         ceil(extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros`,
      [exported.rows[0]?.id],
    );
    const row = found.rows[0];
    if (row === undefined) throw new Error('no exported snapshot');
    const oldest = Number(/^xmin:(\d+)$/m.exec(row.template)?.[1]);
    return new TimeMachine(
      hybridOfMicros(BigInt(row.micros)),
      anchor,
      admin,
      row.template,
      row.folder,
      oldest,
    );
  }

  /** A snapshot that sees exactly the transactions of `hybrids` up to `hybrid`, and of those that it doesn't name what their commit timestamps say. */
  async fix(hybrid: bigint, hybrids: ReadonlyMap<number, bigint>): Promise<FixedInstant> {
    const seen = (xid: number) => (hybrids.get(xid) ?? hybrid + 1n) <= hybrid;
    let running = await this.#running();
    // A transaction whose commit is in the log may still be on the list of the running ones for a moment.
    while ([...running.xids].some(seen)) {
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      running = await this.#running();
    }
    await this.#learn(running);
    let next = this.#oldest;
    const hidden = new Set(running.xids);
    for (const [xid, clock] of this.#committed) {
      const isVisible = !running.xids.has(xid) && (hybrids.get(xid) ?? clock) <= hybrid;
      if (!isVisible) hidden.add(xid);
      else if (xid >= next) next = xid + 1;
    }
    const listed = [...hidden].filter((xid) => xid < next).sort((one, other) => one - other);
    return { snapshotId: await this.#write(listed, next) };
  }

  async close(): Promise<void> {
    await this.#anchor.end();
  }

  async #running(): Promise<{ readonly xids: ReadonlySet<number>; readonly next: number }> {
    const found = await this.#admin.query<{ next: string; xids: readonly string[] }>(
      'SELECT txid_snapshot_xmax(s)::text AS next, ARRAY(SELECT txid_snapshot_xip(s)::text) AS xids FROM txid_current_snapshot() s',
    );
    const row = found.rows[0];
    const short = (xid: string) => Number(BigInt(xid) % XIDS);
    return { xids: new Set(row?.xids.map(short)), next: short(row?.next ?? '0') };
  }

  /** Asks for those that may have committed since the last time. */
  async #learn(running: { readonly xids: ReadonlySet<number>; readonly next: number }): Promise<void> {
    const found = await this.#admin.query<{ xid: string; micros: string }>(
      `SELECT xid::text, floor(extract(epoch FROM at) * 1000000)::bigint::text AS micros
       FROM (SELECT xid, pg_xact_commit_timestamp(xid::text::xid) AS at FROM generate_series($1::bigint, $2::bigint) xid) c WHERE at IS NOT NULL`,
      [this.#unsettled, running.next - 1],
    );
    for (const { xid, micros } of found.rows)
      this.#committed.set(Number(xid), hybridOfMicros(BigInt(micros)));
    this.#unsettled = Math.min(running.next, ...running.xids);
  }

  async #write(hidden: readonly number[], next: number): Promise<string> {
    this.#files += 1;
    const id = `FFFFFFFF-${this.#anchorId()}-${this.#files}`;
    const head = this.#template.split('\n').filter((line) => /^(vxid|pid|dbid|iso|ro):/.test(line));
    const lines = [
      ...head,
      `xmin:${hidden[0] ?? next}`,
      `xmax:${next}`,
      `xcnt:${hidden.length}`,
      ...hidden.map((xid) => `xip:${xid}`),
      // Too many subtransactions to list: PostgreSQL asks pg_subtrans for the parent of each.
      'sof:1',
      'rec:0',
    ];
    const rows = lines.map((line) => `('${line}')`).join(',');
    await this.#admin.query(
      `COPY (SELECT column1 FROM (VALUES ${rows}) v) TO '${this.#folder}/${id}' WITH (FORMAT text)`,
    );
    return id;
  }

  #anchorId(): string {
    const pid = Number(/^pid:(\d+)$/m.exec(this.#template)?.[1]);
    return pid.toString(16).toUpperCase().padStart(8, '0');
  }
}
