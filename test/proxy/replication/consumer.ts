import type { Socket } from 'node:net';
import { encode } from '../frames.ts';
import { send } from '../sockets.ts';
import { int8, int64 } from './bytes.ts';
import { type Publications, type PublishedTable, publicationsAt } from './catalogue.ts';
import type { LoggedTransaction } from './change-log.ts';
import type { PluginOptions } from './commands.ts';
import { hybridOfMicros, microsOfHybrid } from './hybrid-time.ts';
import { beginMessage, commitMessage, postgresMicros, type Relation, relationMessage } from './messages.ts';
import { Refusal } from './refusal.ts';
import { rowMessages, type Wording } from './rows.ts';
import type { Slot, Unacknowledged } from './slot.ts';
import type { Slots } from './slots.ts';

const POLL_MS = 100;

/**
 * One `START_REPLICATION`: a virtual WAL of its own on the slot. There is no lock: a second one is as good as the first
 * (yugabyte-db issues 20755, 33050).
 */
export class Consumer {
  readonly #slots: Slots;
  readonly #slot: Slot;
  readonly #client: Socket;
  readonly #from: bigint;
  readonly #names: readonly string[];
  readonly #stopping = new AbortController();
  readonly #unacknowledged: Unacknowledged[] = [];
  readonly #described = new Map<number, Relation>();
  /** By OID; a replica identity stays what it was when the slot came to know the table. */
  readonly #tables = new Map<number, PublishedTable>();
  #published: ReadonlySet<number> = new Set();
  /** The catalogue as it was at the last look, and a hybrid time by which it had become so. */
  #catalogue: string | undefined;
  #catalogueSince = 0n;
  /** The hybrid time that the tables are as of. */
  #refreshedAt = 0n;
  #nextRefresh: bigint;
  #sentLsn: bigint;
  #lsn: bigint;
  #transaction: number;
  #heardAt = Date.now();

  private constructor(slots: Slots, slot: Slot, client: Socket, from: bigint, names: readonly string[]) {
    this.#slots = slots;
    this.#slot = slot;
    this.#client = client;
    this.#names = names;
    // A position before what was confirmed is moved forward without a word (logical.c CreateDecodingContext).
    this.#from = from > slot.confirmedFlush ? from : slot.confirmedFlush;
    this.#sentLsn = slot.confirmedFlush;
    this.#lsn = slot.restartLsn;
    this.#transaction = slot.restartTransaction;
    this.#nextRefresh = slot.created;
  }

  /** @throws Refusal where the options, a publication or a replica identity can't be */
  static async open(
    slots: Slots,
    slot: Slot,
    client: Socket,
    from: bigint,
    options: PluginOptions,
  ): Promise<Consumer> {
    const consumer = new Consumer(slots, slot, client, from, publicationNames(options));
    const instances = slots.all().reduce((sum, { consumers }) => sum + consumers, 0);
    if (instances >= slots.settings.maxVirtualWals) throw new Refusal('XX000', 'max capacity reached');
    await consumer.#begin();
    return consumer;
  }

  /** Streams until `stop`. @throws Refusal when the slot's changes can't be read */
  async run(pid: number): Promise<void> {
    const slot = this.#slot;
    slot.activePid = pid;
    slot.consumers += 1;
    const poll = setInterval(() => void this.#poll(), POLL_MS);
    try {
      let reached = slot.restartHybrid;
      while (!this.#stopping.signal.aborted) {
        slot.polledAt = Date.now();
        if (slot.failingReads > 0) {
          slot.failingReads -= 1;
          throw expired();
        }
        const another = slot.log.another(this.#stopping.signal);
        const logged = slot.stalled ? [] : [...slot.log.after(reached)];
        if (!this.#slots.behaviour.dynamicTables) await this.#forgetDropped();
        else if (logged.length > 0) await this.#lookAtCatalogue();
        for (const transaction of logged) {
          if (this.#stopping.signal.aborted) break;
          await this.#send(transaction);
          reached = transaction.hybrid;
        }
        await Promise.race([another, this.#pause()]);
      }
    } finally {
      clearInterval(poll);
      slot.polledAt = Date.now();
      slot.consumers -= 1;
      if (slot.consumers === 0) slot.activePid = undefined;
    }
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** A CopyData message of the client: `r` is a standby status update. */
  take(payload: Buffer): void {
    this.#heardAt = Date.now();
    if (payload[0] !== 'r'.charCodeAt(0)) return;
    this.#slot.confirm(payload.readBigUInt64BE(9), this.#unacknowledged);
    if (payload[33] === 1) void this.#keepalive(false);
  }

  async #pause(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, POLL_MS);
      this.#stopping.signal.addEventListener('abort', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  async #poll(): Promise<void> {
    this.#slot.polledAt = Date.now();
    const silence = Date.now() - this.#heardAt;
    const timeout = this.#slots.settings.walSenderTimeoutMs;
    if (timeout > 0 && silence > timeout) this.#client.destroy();
    else if (timeout > 0 && silence > timeout / 2) await this.#keepalive(true);
  }

  /** The list of tables is as of the slot's making, or the last refresh before the place to go on from (yb_virtual_wal_client.c InitVirtualWal). */
  async #begin(): Promise<void> {
    const { created, publications, restartHybrid } = this.#slot;
    this.#refresh(publications);
    const every = hybridOfMicros(BigInt(this.#slots.settings.publicationRefreshMs) * 1000n);
    const refreshes = every === 0n ? 0n : (restartHybrid - created) / every;
    if (refreshes > 0n) {
      const last = created + refreshes * every;
      this.#refresh(await publicationsAt(this.#slot.log, last));
      this.#nextRefresh = last;
    }
    this.#nextRefresh += every;
  }

  #refresh(publications: Publications): void {
    const published = new Set<number>();
    for (const name of this.#names) {
      const tables = publications.get(name);
      if (tables === undefined) throw new Refusal('42704', `publication "${name}" does not exist`);
      for (const table of tables) {
        // Without a primary key a table is left out without a word (YBCRemoveTablesWithoutPrimaryKeyIfNotAllowedBySlot; issue 19291).
        if (table.key.size === 0) continue;
        published.add(table.oid);
        if (!this.#tables.has(table.oid)) this.#tables.set(table.oid, table);
        if (this.#slot.plugin === 'pgoutput' && this.#tables.get(table.oid)?.identity === 'c') {
          throw new Refusal(
            'XX000',
            `replica identity CHANGE (for table: ${table.oid}) is not supported for output plugin pgoutput`,
            { hint: 'Consider using output plugin yboutput instead. ' },
          );
        }
      }
    }
    this.#published = published;
  }

  async #send(transaction: LoggedTransaction): Promise<void> {
    if (transaction.changes.length === 0) return;
    await this.#followPublications(transaction.hybrid);
    const changes = transaction.changes.filter(({ relation }) => this.#published.has(relation.oid));
    if (changes.length === 0) return;
    const inserted = new Set<string>();
    const wording: Wording = {
      behaviour: this.#slots.behaviour,
      nullBeforeImages: this.#slots.settings.nullBeforeImages,
    };
    const rows = changes.map((change) => {
      const table = this.#tables.get(change.relation.oid);
      if (table === undefined) throw new Error(`no identity of ${change.relation.name}`);
      return { change, table, messages: rowMessages(change, table, inserted, wording) };
    });
    const count = rows.reduce((sum, { messages }) => sum + messages.length, 0);
    if (count === 0) return;
    const byTime = this.#slot.lsnType === 'HYBRID_TIME';
    const first = this.#lsn;
    const lsnOf = (record: number) => (byTime ? transaction.hybrid : first + BigInt(record));
    // Begin, the rows, commit.
    const commitLsn = lsnOf(count + 2);
    this.#lsn = byTime ? this.#lsn : commitLsn;
    this.#transaction += 1;
    this.#unacknowledged.push({
      commitLsn,
      hybrid: transaction.hybrid,
      transactionNumber: this.#transaction,
    });
    // YBDecodeCommit: skipped is what lies before the place asked for, not what lies at it.
    if (commitLsn < this.#from) return;
    const micros = microsOfHybrid(transaction.hybrid);
    const frames = [this.#frame(lsnOf(1), beginMessage(commitLsn, micros, this.#transaction))];
    let record = 1;
    for (const { change, table, messages } of rows) {
      if (messages.length > 0) frames.push(...this.#description(change.relation, change.types, table));
      for (const message of messages) {
        record += 1;
        frames.push(this.#frame(lsnOf(record), message));
      }
    }
    frames.push(this.#frame(commitLsn + 1n, commitMessage(commitLsn, micros)));
    this.#sentLsn = commitLsn;
    await send(this.#client, Buffer.concat(frames));
  }

  /** As long as the catalogue is the one of the last look, so are the tables of the publications. */
  async #lookAtCatalogue(): Promise<void> {
    const found = await this.#slot.log.catalogue();
    if (found === this.#catalogue) return;
    this.#catalogue = found;
    this.#catalogueSince = await this.#slot.log.now();
  }

  /** DROP TABLE isn't refused (issue 17951), and takes with it what of the table nobody has read (docs LR/_index.md, up to 2025.2). */
  async #forgetDropped(): Promise<void> {
    const left = await this.#slot.log.existing([...this.#published]);
    this.#published = new Set([...this.#published].filter((oid) => left.has(oid)));
  }

  /** Up to 2025.2 by a poll at set times; from 2026.1 on with each transaction. */
  async #followPublications(hybrid: bigint): Promise<void> {
    if (this.#slots.behaviour.dynamicTables) {
      // The change may have come between the transaction before this one and the look: a refresh as of before it doesn't know of it yet.
      if (this.#refreshedAt > this.#catalogueSince) return;
      this.#refresh(await publicationsAt(this.#slot.log, hybrid));
      this.#refreshedAt = hybrid;
      return;
    }
    const every = hybridOfMicros(BigInt(this.#slots.settings.publicationRefreshMs) * 1000n);
    if (every === 0n || this.#nextRefresh > hybrid) return;
    const due = this.#nextRefresh + ((hybrid - this.#nextRefresh) / every) * every;
    this.#refresh(await publicationsAt(this.#slot.log, due));
    this.#nextRefresh = due + every;
  }

  #description(relation: Relation, types: readonly Buffer[], table: PublishedTable): readonly Buffer[] {
    if (this.#described.get(relation.oid) === relation) return [];
    this.#described.set(relation.oid, relation);
    const marked =
      table.identity === 'd' || (table.identity === 'c' && this.#slots.behaviour.changeMarksKeys);
    const all = new Set(relation.columns.map(({ name }) => name));
    const keys = table.identity === 'f' ? all : marked ? table.key : new Set<string>();
    return [
      ...types.map((type) => this.#frame(0n, type)),
      this.#frame(0n, relationMessage(relation, table.identity, keys)),
    ];
  }

  #frame(lsn: bigint, message: Buffer): Buffer {
    return encode('d', Buffer.from('w'), int64(lsn), int64(lsn), int64(nowOfPostgres()), message);
  }

  async #keepalive(replyRequested: boolean): Promise<void> {
    const flag = int8(replyRequested ? 1 : 0);
    await send(
      this.#client,
      encode('d', Buffer.from('k'), int64(this.#sentLsn), int64(nowOfPostgres()), flag),
    );
  }
}

function nowOfPostgres(): bigint {
  return postgresMicros(BigInt(Date.now()) * 1000n);
}

/** cdcsdk_producer.cc; seen in issue 27835. */
function expired(): Refusal {
  return new Refusal(
    'XX000',
    'CDCSDK Trying to fetch already GCed intents for transaction 7d5f0e9a-4c1b-4f0e-8a51-c2f6d3b9e870',
  );
}

/** Checks the plugin's options as pgoutput.c parse_output_parameters and pgoutput_startup do. */
function publicationNames(options: PluginOptions): readonly string[] {
  const known = new Set([
    'proto_version',
    'publication_names',
    'binary',
    'messages',
    'streaming',
    'two_phase',
  ]);
  const unknown = [...options.keys()].find((option) => !known.has(option));
  if (unknown !== undefined) throw new Refusal('XX000', `unrecognized pgoutput option: ${unknown}`);
  const version = Number(options.get('proto_version') ?? 0);
  if (version > 3) {
    throw new Refusal(
      '0A000',
      `client sent proto_version=${version} but we only support protocol 3 or lower`,
    );
  }
  if (version < 1) {
    throw new Refusal(
      '0A000',
      `client sent proto_version=${version} but we only support protocol 1 or higher`,
    );
  }
  if (['on', 'true', '1'].includes(options.get('binary') ?? '')) {
    throw new Refusal('0A000', 'stand-in: values in binary form are not played');
  }
  const names = (options.get('publication_names') ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
    .map((name) => (name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name.toLowerCase()));
  if (names.length === 0) throw new Refusal('22023', 'publication_names parameter missing');
  return names;
}
