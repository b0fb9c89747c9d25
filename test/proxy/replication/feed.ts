import type { Client, ClientConfig } from 'pg';
import pg from 'pg';
import { encode } from '../frames.ts';
import { superuserConfig } from '../superuser.ts';
import { int8, int64 } from './bytes.ts';
import { postgresMicros, readUpstream, type UpstreamMessage } from './messages.ts';

/** The slot and the publication that the stand-in reads the upstream's changes by; one of each in a database. */
export const FEED = 'yb_stand_in_feed';
const STATUS_EVERY_MS = 1000;
const AGAIN_AFTER_MS = 200;
const XLOG_HEADER_BYTES = 25;

/** The name of the upstream's slot, which is one of the cluster. */
export function feedSlot(databaseOid: number): string {
  return `${FEED}_${databaseOid}`;
}

export interface FeedOptions {
  /** A superuser's URL of any database of the cluster. */
  readonly upstreamUrl: string;
  readonly database: string;
  readonly slot: string;
  /** Takes each message in order. */
  readonly message: (message: UpstreamMessage) => void;
}

/**
 * Reads the upstream's changes of all tables of a database, in the order of their commits. A lost connection is made again, and what was
 * not acknowledged comes twice.
 */
export class Feed {
  readonly #options: FeedOptions;
  #client: Client | undefined;
  #closed = false;
  #received = 0n;
  #running: Promise<void> = Promise.resolve();

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#client?.connection.stream.destroy();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      try {
        await this.#stream();
      } catch (error) {
        if (!this.#closed) process.stderr.write(`feed of ${this.#options.database}: ${String(error)}\n`);
      }
      if (!this.#closed) await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_MS));
    }
  }

  /** Settles when the connection is gone. */
  async #stream(): Promise<void> {
    const config: ClientConfig & { replication: 'database' } = {
      ...superuserConfig(this.#options.upstreamUrl, this.#options.database, 'yugabytedb feed'),
      replication: 'database',
    };
    const client = new pg.Client(config);
    this.#client = client;
    client.on('error', () => undefined);
    await client.connect();
    const status = setInterval(() => this.#acknowledge(client), STATUS_EVERY_MS);
    client.connection.on('copyData', ({ chunk }: { readonly chunk: Buffer }) => {
      if (chunk[0] === 'w'.charCodeAt(0)) this.#take(chunk);
      else if (chunk[chunk.length - 1] === 1) this.#acknowledge(client);
    });
    try {
      if (this.#closed) return;
      await client.query(
        `START_REPLICATION SLOT ${this.#options.slot} LOGICAL 0/0 (proto_version '1', publication_names '${FEED}')`,
      );
    } finally {
      clearInterval(status);
      client.connection.stream.destroy();
    }
  }

  #take(chunk: Buffer): void {
    const payload = chunk.subarray(XLOG_HEADER_BYTES);
    const message = readUpstream(payload);
    this.#options.message(message);
    // Commit: flags, LSN of the commit, LSN of its end.
    if (message.kind === 'commit') this.#received = payload.readBigUInt64BE(10);
  }

  #acknowledge(client: Client): void {
    const now = postgresMicros(BigInt(Date.now()) * 1000n);
    const position = int64(this.#received);
    client.connection.stream.write(
      encode('d', Buffer.from('r'), position, position, position, int64(now), int8(0)),
    );
  }
}
