import type { ClientConfig } from 'pg';
import pg from 'pg';
import { encode } from '../frames.ts';
import { ByteReader, int8, int64 } from './bytes.ts';
import { postgresMicros } from './messages.ts';

export type SeenCell = string | null | 'unset';

/** A message of the stream, as a test looks at it. */
export interface SeenMessage {
  readonly type: string;
  /** Of the XLogData that carried it. */
  readonly at: bigint;
  readonly lsn?: bigint;
  readonly endLsn?: bigint;
  readonly micros?: bigint;
  readonly xid?: number;
  readonly table?: string;
  readonly identity?: string;
  readonly keys?: readonly string[];
  /** `K` key or `O` whole row, with its values. */
  readonly old?: readonly [letter: string, row: readonly SeenCell[]];
  readonly row?: readonly SeenCell[];
}

/** A transaction as it was sent. */
export interface SeenTransaction {
  readonly lsn: bigint;
  readonly messages: readonly SeenMessage[];
}

/** A client of the replication protocol that keeps what it gets. */
export class TestReplication {
  readonly client: pg.Client;
  readonly messages: SeenMessage[] = [];
  readonly keepalives: bigint[] = [];
  /** Set once the stream has ended with an error. */
  failure: Error | undefined;
  readonly #tables = new Map<number, string>();
  #stream: Promise<unknown> = Promise.resolve();
  #alive: NodeJS.Timeout | undefined;

  private constructor(client: pg.Client) {
    this.client = client;
  }

  static async connect(url: string): Promise<TestReplication> {
    const config: ClientConfig & { replication: 'database' } = {
      connectionString: url,
      replication: 'database',
    };
    const client = new pg.Client(config);
    const reader = new TestReplication(client);
    client.on('error', (error) => {
      reader.failure ??= error;
    });
    await client.connect();
    client.connection.on('copyData', ({ chunk }: { readonly chunk: Buffer }) => reader.#take(chunk));
    return reader;
  }

  /** Runs a command that answers at most one row. */
  async command(sql: string): Promise<Record<string, string | null> | undefined> {
    const found = await this.client.query<Record<string, string | null>>(sql);
    return found.rows[0];
  }

  start(slot: string, publication: string, from = '0/0'): void {
    this.#stream = this.client
      .query(
        `START_REPLICATION SLOT ${slot} LOGICAL ${from} (proto_version '1', publication_names '${publication}')`,
      )
      .catch((error: Error) => {
        this.failure = error;
      });
    // Who says nothing for `wal_sender_timeout` is cut off; a position of 0 confirms nothing.
    this.#alive = setInterval(() => this.feedback(0n), 5000);
  }

  feedback(flushed: bigint, replyRequested = false): void {
    const now = postgresMicros(BigInt(Date.now()) * 1000n);
    const position = int64(flushed);
    this.client.connection.stream.write(
      encode('d', Buffer.from('r'), position, position, position, int64(now), int8(replyRequested ? 1 : 0)),
    );
  }

  transactions(): readonly SeenTransaction[] {
    const found: { lsn: bigint; messages: SeenMessage[] }[] = [];
    for (const message of this.messages) {
      if (message.type === 'B') found.push({ lsn: message.lsn ?? 0n, messages: [] });
      found.at(-1)?.messages.push(message);
    }
    return found.filter(({ messages }) => messages.at(-1)?.type === 'C');
  }

  /** Ends the stream in an orderly way, and the connection. */
  async end(): Promise<void> {
    clearInterval(this.#alive);
    if (this.failure === undefined) this.client.connection.stream.write(encode('c'));
    await Promise.race([this.#stream, new Promise((resolve) => setTimeout(resolve, 500))]);
    await this.client.end();
  }

  #take(chunk: Buffer): void {
    const reader = new ByteReader(chunk);
    const kind = reader.letter();
    const at = reader.int64();
    if (kind === 'k') {
      this.keepalives.push(at);
      return;
    }
    reader.int64();
    reader.int64();
    this.messages.push(this.#read(reader, at));
  }

  #read(reader: ByteReader, at: bigint): SeenMessage {
    const type = reader.letter();
    if (type === 'B') return { type, at, lsn: reader.int64(), micros: reader.int64(), xid: reader.int32() };
    if (type === 'C') {
      reader.int8();
      return { type, at, lsn: reader.int64(), endLsn: reader.int64(), micros: reader.int64() };
    }
    if (type === 'R') {
      const oid = reader.int32();
      const table = `${reader.string()}.${reader.string()}`;
      this.#tables.set(oid, table);
      const identity = reader.letter();
      const keys = Array.from({ length: reader.int16() }, () => {
        const flag = reader.int8();
        const name = reader.string();
        reader.int32();
        reader.int32();
        return flag === 1 ? [name] : [];
      }).flat();
      return { type, at, table, identity, keys };
    }
    if (type !== 'I' && type !== 'U' && type !== 'D') return { type, at };
    const table = this.#tables.get(reader.int32()) ?? 'not described';
    const letter = reader.letter();
    const first = row(reader);
    if (type === 'D') return { type, at, table, old: [letter, first] };
    if (letter === 'N') return { type, at, table, row: first };
    reader.letter();
    return { type, at, table, old: [letter, first], row: row(reader) };
  }
}

function row(reader: ByteReader): readonly SeenCell[] {
  return Array.from({ length: reader.int16() }, (): SeenCell => {
    const kind = reader.letter();
    if (kind === 'n') return null;
    return kind === 'u' ? 'unset' : reader.bytes(reader.int32()).toString();
  });
}
