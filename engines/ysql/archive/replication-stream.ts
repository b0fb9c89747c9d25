import type { Duplex } from 'node:stream';
import pg from 'pg';
import { type Lsn, lsnOf, positionOf, postgresLsn } from '../../../model/archive.ts';
import { permanent, transient } from '../../../model/errors.ts';
import { Gathering } from '../../../repository/gathering.ts';
import { type ConnectionTarget, clientConfigs } from '../server/connection-url.ts';
import { databaseError } from '../server/errors.ts';
import { loginOptions } from '../server/login-triggers.ts';
import { sessionSettings } from '../server/session-settings.ts';
import type { ArchiveSource } from './source-kind.ts';

/** What the stream hands on, in order. A message's bytes are valid only during the call. */
export interface StreamListener {
  message(payload: Buffer): void;
  /** Everything that committed before this position has been handed on. Of YugabyteDB, it is the last record's, whose transaction may not have ended. */
  keepalive(position: bigint, replyRequested: boolean): void;
}

/** What is read, and from where: everything before `from` is stored. */
interface StreamPlace {
  readonly source: ArchiveSource;
  readonly slot: string;
  readonly publication: string;
  readonly from: Lsn;
}

/** Nothing can be read of the slot any more. */
export const ARCHIVE_SLOT_EXPIRED = 'ARCHIVE_SLOT_EXPIRED';

const CONNECT_TIMEOUT_MS = 15_000;
const GOODBYE_MS = 2_000;
const TERMINATE = Buffer.from([0x58, 0, 0, 0, 4]);
/** The server ends a connection that says nothing for `wal_sender_timeout`, 60 s by default. */
const STATUS_EVERY_MS = 10_000;
/** Nothing at all for so long, while the server answers each status by a keepalive when asked: the connection is dead. */
const SILENCE_MS = 45_000;
/**
 * The walsender sends each message by itself. A reader that pauses after a small read lets messages gather, which is up to twice as fast
 * and wakes this process less (facts: a pause of 1 ms; 20 ms is slower).
 */
const SMALL_READ_BYTES = 64 * 1024;
const PAUSE_MS = 1;

const COPY_DATA = 'd'.charCodeAt(0);
const COPY_BOTH = 'W'.charCodeAt(0);
const COPY_DONE = 'c'.charCodeAt(0);
const ERROR_RESPONSE = 'E'.charCodeAt(0);
const XLOG_DATA = 'w'.charCodeAt(0);
const KEEPALIVE = 'k'.charCodeAt(0);
const FRAME_HEADER_BYTES = 5;
const XLOG_HEADER_BYTES = 25;

/**
 * The changes of a slot, read by the streaming replication protocol. `pg` makes the connection; from `START_REPLICATION` on the frames are
 * taken from its socket, since `pg` would make an event of each message.
 */
export class ReplicationStream {
  readonly ended: Promise<never>;
  readonly #client: pg.Client;
  readonly #socket: Duplex;
  readonly #listener: StreamListener;
  readonly #fail: (error: unknown) => void;
  readonly #source: ArchiveSource;
  readonly #slot: string;
  readonly #signal: AbortSignal;
  readonly #onAbort = () => this.#socket.destroy();
  readonly #gathering = new Gathering();
  #flushed: bigint;
  #isHeld = false;
  #isPausing = false;
  #heardAt = Date.now();
  #closing = false;
  #timer: NodeJS.Timeout | undefined;

  private constructor(
    client: pg.Client,
    { source, slot, from }: Pick<StreamPlace, 'source' | 'slot' | 'from'>,
    listener: StreamListener,
    signal: AbortSignal,
  ) {
    this.#client = client;
    this.#socket = client.connection.stream;
    this.#source = source;
    this.#slot = slot;
    this.#listener = listener;
    this.#signal = signal;
    this.#flushed = source.acknowledged(positionOf(from));
    const { promise, reject } = Promise.withResolvers<never>();
    // Whoever reads may have left already; a rejection that nobody awaits must not end the worker.
    promise.catch(() => undefined);
    this.ended = promise;
    this.#fail = reject;
  }

  /** Begins to read behind `from`. The server sends whole transactions that commit at or after it. */
  static async open(
    target: ConnectionTarget,
    database: string,
    place: StreamPlace,
    listener: StreamListener,
    signal: AbortSignal,
  ): Promise<ReplicationStream> {
    signal.throwIfAborted();
    const client = await connectForReplication(target, database, signal, place.source);
    const stream = new ReplicationStream(client, place, listener, signal);
    stream.#start(place.publication);
    return stream;
  }

  /** From now on the server may forget what lies before this position: it is stored. */
  acknowledge(end: bigint): void {
    const position = this.#source.acknowledged(end);
    if (position <= this.#flushed) return;
    this.#flushed = position;
    this.#sendStatus(false);
  }

  /** Stops reading, so that the server waits, until `resume`. */
  hold(): void {
    this.#isHeld = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#isHeld = false;
    // Time that we held it up is no silence of the server.
    this.#heardAt = Date.now();
    if (!this.#isPausing) this.#socket.resume();
  }

  /** Says goodbye, so that the server frees what it holds for the stream at once: YugabyteDB has few of them, and one that leaks stays. */
  async close(): Promise<void> {
    const isOpen = !this.#closing && this.#socket.writable;
    this.#closing = true;
    clearInterval(this.#timer);
    this.#signal.removeEventListener('abort', this.#onAbort);
    if (isOpen) {
      const { promise: gone, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, GOODBYE_MS);
      this.#socket.once('close', resolve);
      this.#socket.end(TERMINATE);
      // What still comes is read and forgotten, else the end would wait behind it.
      this.#isHeld = false;
      this.#socket.resume();
      await gone;
      clearTimeout(timer);
    }
    this.#socket.destroy();
  }

  #start(publication: string): void {
    const socket = this.#socket;
    // The library's own listener would parse the frames too.
    socket.removeAllListeners('data');
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('Connection terminated')));
    this.#client.on('error', () => undefined);
    this.#signal.addEventListener('abort', this.#onAbort, { once: true });
    const options = `proto_version '1', publication_names '${publication}'`;
    this.#client.connection.query(
      `START_REPLICATION SLOT "${this.#slot}" LOGICAL ${postgresLsn(lsnOf(this.#flushed))} (${options})`,
    );
    this.#timer = setInterval(() => this.#look(), STATUS_EVERY_MS);
  }

  #look(): void {
    if (!this.#isHeld && Date.now() - this.#heardAt > SILENCE_MS) {
      this.#socket.destroy(new Error('Connection terminated: no answer'));
      return;
    }
    this.#sendStatus(true);
  }

  #read(chunk: Buffer): void {
    if (this.#closing) return;
    this.#heardAt = Date.now();
    const bytes = this.#gathering.add(chunk);
    if (bytes !== undefined && !this.#takeFrames(bytes)) return;
    if (chunk.length < SMALL_READ_BYTES) this.#letGather();
  }

  /** False where a frame ends the stream. */
  #takeFrames(bytes: Buffer): boolean {
    let at = 0;
    let end = frameEnd(bytes, at);
    try {
      while (end <= bytes.length) {
        this.#take(bytes[at], bytes.subarray(at + FRAME_HEADER_BYTES, end));
        at = end;
        end = frameEnd(bytes, at);
      }
    } catch (error) {
      this.#end(error);
      this.#socket.destroy();
      return false;
    }
    // A copy, so that a small rest doesn't keep a large chunk alive.
    this.#gathering.keep(Buffer.from(bytes.subarray(at)), end - at);
    return true;
  }

  #letGather(): void {
    this.#isPausing = true;
    this.#socket.pause();
    setTimeout(() => {
      this.#isPausing = false;
      if (!this.#isHeld) this.#socket.resume();
    }, PAUSE_MS);
  }

  #take(type: number | undefined, body: Buffer): void {
    if (type === COPY_DATA) {
      if (body[0] === XLOG_DATA) {
        this.#listener.message(body.subarray(XLOG_HEADER_BYTES));
      } else if (body[0] === KEEPALIVE) {
        const replyRequested = body[17] === 1;
        this.#listener.keepalive(body.readBigUInt64BE(1), replyRequested);
        // Half of `wal_sender_timeout` has passed, which may be shorter than our own rhythm.
        if (replyRequested) this.#sendStatus(false);
      }
    } else if (type === ERROR_RESPONSE) {
      throw this.#refusal(body);
    } else if (type === COPY_DONE) {
      throw new Error('Connection terminated: the server ended the stream');
    } else if (type === COPY_BOTH) {
      this.#sendStatus(false);
    }
    // Notices and settings of the server are of no account.
  }

  /** Fields of an ErrorResponse are a letter and a text each. */
  #refusal(body: Buffer): unknown {
    const fields = new Map(
      body
        .toString()
        .split('\0')
        .filter((field) => field !== '')
        .map((field) => [field.charAt(0), field.slice(1)]),
    );
    const code = fields.get('C') ?? 'unknown';
    const message = fields.get('M') ?? 'unknown';
    const told = `The source ended the stream of replication slot ${this.#slot} (${code}): ${message}`;
    // 55000: WAL that it needs is gone; 42704: the slot or its publication is gone. Opening the archive again finds out and says so.
    const passes =
      code.startsWith('08') ||
      code.startsWith('53') ||
      code.startsWith('57') ||
      /^(55|42704)/.test(code) ||
      this.#source.isPassing(code);
    if (this.#source.isExpired(message)) {
      return permanent(
        ARCHIVE_SLOT_EXPIRED,
        `The source has no longer what replication slot ${this.#slot} lacks (${code}): ${message}`,
        'A new timeline begins, and a base backup is asked for. See that a worker runs all the time.',
      );
    }
    const remedy = 'See the log of the source; `holdfast doctor` looks at what an archive needs.';
    return passes
      ? transient('ARCHIVE_STREAM_ENDED', told, `It is tried again. ${remedy}`)
      : permanent('ARCHIVE_STREAM_REFUSED', told, remedy);
  }

  #end(error: unknown): void {
    if (this.#closing) return;
    this.#closing = true;
    clearInterval(this.#timer);
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#fail(
      databaseError(error, `stream the changes of slot ${this.#slot}`, {
        signal: this.#signal,
        product: this.#source.product,
      }),
    );
  }

  /** A Standby Status Update: written, flushed and applied are all what is stored. */
  #sendStatus(replyRequested: boolean): void {
    if (this.#closing || !this.#socket.writable) return;
    const status = Buffer.alloc(FRAME_HEADER_BYTES + 34);
    status[0] = COPY_DATA;
    status.writeUInt32BE(4 + 34, 1);
    status.write('r', 5);
    status.writeBigUInt64BE(this.#flushed, 6);
    status.writeBigUInt64BE(this.#flushed, 14);
    status.writeBigUInt64BE(this.#flushed, 22);
    status.writeBigInt64BE(BigInt(Date.now() - 946_684_800_000) * 1000n, 30);
    status[38] = replyRequested ? 1 : 0;
    this.#socket.write(status);
  }
}

/** Where the frame at `at` ends; where not even its header is there, where that ends. */
function frameEnd(bytes: Buffer, at: number): number {
  const from = at + FRAME_HEADER_BYTES;
  return from > bytes.length ? from : at + 1 + bytes.readUInt32BE(at + 1);
}

/** A session of the replication protocol, with the settings that make text exact. */
async function connectForReplication(
  target: ConnectionTarget,
  database: string,
  signal: AbortSignal,
  { product }: ArchiveSource,
): Promise<pg.Client> {
  let failure: unknown;
  for (const config of clientConfigs(target, database, ...loginOptions(target))) {
    // `pg` passes `replication` on to the server; its types don't have it.
    const settings: pg.ClientConfig & { readonly replication: 'database' } = {
      ...config,
      replication: 'database',
      application_name: 'holdfast archive',
      keepAlive: true,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    };
    const client = new pg.Client(settings);
    // `pg` reports the end of a connection that was destroyed, too; without a listener the process would end.
    client.on('error', () => undefined);
    try {
      await client.connect();
      const version = await client.query<{ server_version_num: string }>('SHOW server_version_num');
      const major = Math.floor(Number(version.rows[0]?.server_version_num) / 10_000);
      await client.query(sessionSettings({ major, superuser: false }));
      return client;
    } catch (error) {
      failure = error;
      client.connection.stream.destroy();
    }
  }
  throw databaseError(failure, `connect for replication to database "${database}"`, {
    signal,
    product,
  });
}
