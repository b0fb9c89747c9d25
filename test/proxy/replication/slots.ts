import { randomBytes } from 'node:crypto';
import type { Client } from 'pg';
import type { ClientLineName } from '../client-lines.ts';
import { superuser } from '../superuser.ts';
import { publicationsAt } from './catalogue.ts';
import { ChangeLog } from './change-log.ts';
import { lsnText } from './hybrid-time.ts';
import { ANSWERS, CALL } from './install.ts';
import { Refusal } from './refusal.ts';
import {
  DEFAULT_SETTINGS,
  LINE_BEHAVIOUR,
  type LineBehaviour,
  type ReplicationSettings,
} from './settings.ts';
import { type LsnType, Slot, type SnapshotAction } from './slot.ts';

export interface SlotRequest {
  readonly name: string;
  readonly plugin: string;
  readonly temporary: boolean;
  readonly lsnType: LsnType;
  readonly snapshot: SnapshotAction;
}

const PLUGINS: ReadonlySet<string> = new Set(['yboutput', 'pgoutput', 'test_decoding', 'wal2json']);

/** The replication slots of the cluster, whose names are unique in it, and a log of changes for each database that has one. */
export class Slots {
  readonly behaviour: LineBehaviour;
  /** Flags of the stand-in; a test may set them at any time. */
  settings: ReplicationSettings;
  readonly #url: string;
  readonly #slots = new Map<string, Slot>();
  readonly #logs = new Map<string, Promise<ChangeLog>>();
  readonly #begun = new Map<string, ChangeLog>();
  #answerer: Promise<Client> | undefined;
  /** One after another: two slots of a name, or of a database without a log, must not be made at once. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(url: string, line: ClientLineName, settings: Partial<ReplicationSettings>) {
    this.#url = url;
    this.behaviour = LINE_BEHAVIOUR[line];
    this.settings = { ...DEFAULT_SETTINGS, ...settings };
  }

  /** The slots of a database, or all. */
  all(database?: string): readonly Slot[] {
    return [...this.#slots.values()].filter(({ log }) => database === undefined || log.database === database);
  }

  /** @throws Refusal where there is none of the name */
  get(name: string): Slot {
    const slot = this.#slots.get(name);
    if (slot === undefined) throw new Refusal('42704', `replication slot "${name}" does not exist`);
    return slot;
  }

  /** The log of a database that has, or had, a slot. One that is being made waits for transactions that must not wait for it. */
  logOf(database: string): ChangeLog | undefined {
    return this.#begun.get(database);
  }

  /** @throws Refusal in YugabyteDB's words */
  async create(database: string, request: SlotRequest): Promise<Slot> {
    const made = this.#last.then(async () => await this.#create(database, request));
    this.#last = made.catch(() => undefined);
    return await made;
  }

  /** @throws Refusal where it is active or isn't there (yugabyte-db slot.c ReplicationSlotDrop) */
  drop(name: string): void {
    const slot = this.get(name);
    if (slot.isActive(this.settings.activeWindowMs)) {
      throw new Refusal('55006', `replication slot "${name}" is active`);
    }
    this.#slots.delete(name);
  }

  /**
   * From now on what the slot needs is gone, as after the retention. With `reads` only so many reads fail, in the same words: that happens to a
   * slot in good health too (issue 31090).
   */
  expire(name: string, reads = Number.POSITIVE_INFINITY): void {
    this.get(name).failingReads = reads;
  }

  /** What the slot needs is gone, and the tablet server was started again since: a read finds nothing, for ever, without an error (issue 33198). */
  stall(name: string): void {
    this.get(name).stalled = true;
  }

  /** Ends the log of a database and its slots, which go with it (xrepl_catalog_manager.cc DropAllCDCSDKStreams). */
  async forget(database: string): Promise<void> {
    for (const slot of this.all(database)) this.#slots.delete(slot.name);
    const log = this.#logs.get(database);
    this.#logs.delete(database);
    this.#begun.delete(database);
    await (await log)?.close(true);
  }

  async close(): Promise<void> {
    const logs = await Promise.allSettled(this.#logs.values());
    this.#logs.clear();
    for (const log of logs) {
      if (log.status === 'fulfilled') await log.value.close(true).catch(() => undefined);
    }
    await this.#answerer?.then(
      (client) => client.end(),
      () => undefined,
    );
  }

  /** Does what a function of SQL asks for (install.ts) and leaves the answer where the function looks for it. */
  async serveCall(database: string, said: string): Promise<void> {
    const [, id = '', request = ''] = /^\S+ (\S+) ([\s\S]*)$/.exec(said) ?? [];
    let answer: object;
    try {
      answer = await this.#call(database, JSON.parse(request));
    } catch (error) {
      const { code, message, detail, hint } =
        error instanceof Refusal ? error : new Refusal('XX000', `stand-in: ${String(error)}`);
      answer = { error: { code, message, detail, hint } };
    }
    const client = await this.#answering();
    const text = JSON.stringify(answer).replaceAll("'", "''");
    const folder = await client.query<{ folder: string }>(
      "SELECT current_setting('data_directory') AS folder",
    );
    await client.query(
      `COPY (SELECT E'' || '${text}') TO '${folder.rows[0]?.folder}/${ANSWERS}/${CALL}_${id}' WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')`,
    );
  }

  async #call(database: string, request: Readonly<Record<string, unknown>>): Promise<object> {
    if (request.kind === 'list') return { slots: this.all().map((slot) => this.#shown(slot)) };
    if (request.kind === 'drop') {
      this.drop(String(request.name));
      return {};
    }
    const lsnType = String(request.lsnType);
    if (lsnType !== 'SEQUENCE' && !this.behaviour.lsnTypes) {
      const given = 'unknown, unknown, boolean, boolean, unknown';
      throw new Refusal('42883', `function pg_create_logical_replication_slot(${given}) does not exist`);
    }
    if (lsnType !== 'SEQUENCE' && lsnType !== 'HYBRID_TIME') {
      throw new Refusal('22023', `invalid lsn type`, { detail: `Valid values are SEQUENCE and HYBRID_TIME` });
    }
    await this.create(database, {
      name: String(request.name),
      plugin: String(request.plugin),
      temporary: request.temporary === true,
      lsnType,
      snapshot: 'none',
    });
    return {};
  }

  #shown(slot: Slot): object {
    return {
      name: slot.name,
      plugin: slot.plugin,
      databaseOid: slot.log.databaseOid,
      active: slot.isActive(this.settings.activeWindowMs),
      activePid: slot.activePid,
      xmin: slot.restartTransaction,
      restartLsn: lsnText(slot.restartLsn),
      confirmedFlush: lsnText(slot.confirmedFlush),
      streamId: slot.streamId,
      restartHybrid: String(slot.restartHybrid),
      lsnType: slot.lsnType,
    };
  }

  async #create(database: string, request: SlotRequest): Promise<Slot> {
    const { name, plugin, temporary, lsnType, snapshot } = request;
    if (snapshot === 'export') throw new Refusal('0A000', 'Exporting snapshot is not yet supported');
    if (!PLUGINS.has(plugin))
      throw new Refusal('42704', `could not access file "${plugin}": No such file or directory`);
    if (temporary) {
      throw new Refusal('0A000', 'Temporary replication slot is not yet supported', {
        hint: 'See https://github.com/yugabyte/yugabyte-db/issues/19263. React with thumbs up to raise its priority',
      });
    }
    if (!/^[a-z0-9_]{1,63}$/.test(name)) {
      throw new Refusal('42602', `replication slot name "${name}" contains invalid character`, {
        hint: 'Replication slot names may only contain lower case letters, numbers, and the underscore character.',
      });
    }
    if (this.#slots.has(name)) throw new Refusal('42710', `replication slot "${name}" already exists`);
    if (this.#slots.size >= this.settings.maxSlots) {
      throw new Refusal('53400', 'all replication slots are in use', {
        hint: 'Free one or increase max_replication_slots.',
      });
    }
    const log = await this.#log(database);
    const created = await log.now();
    const publications = await publicationsAt(log, created);
    const streamId = randomBytes(16).toString('hex');
    const slot = new Slot({ name, plugin, lsnType, streamId, log, created, publications });
    this.#slots.set(name, slot);
    return slot;
  }

  async #log(database: string): Promise<ChangeLog> {
    const known = this.#logs.get(database);
    if (known !== undefined) return await known;
    const begun = ChangeLog.begin(this.#url, database);
    this.#logs.set(database, begun);
    begun.catch(() => this.#logs.delete(database));
    const log = await begun;
    this.#begun.set(database, log);
    return log;
  }

  async #answering(): Promise<Client> {
    this.#answerer ??= (async () => {
      const database = decodeURIComponent(new URL(this.#url).pathname.slice(1));
      const client = superuser(this.#url, database, 'yugabytedb answers');
      client.on('error', () => {
        this.#answerer = undefined;
      });
      await client.connect();
      return client;
    })();
    return await this.#answerer;
  }
}
