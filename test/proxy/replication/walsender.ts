import type { Socket } from 'node:net';
import type { Upstream } from '../connection.ts';
import {
  body,
  cutString,
  encode,
  FrameWalker,
  query,
  readyForQuery,
  strings,
  type TransactionStatus,
  text,
  transactionStatus,
} from '../frames.ts';
import { type SocketReader, send } from '../sockets.ts';
import { databaseOf, startupPacket, translateParameters } from '../startup.ts';
import { int16, int32 } from './bytes.ts';
import { type ReplicationCommand, replicationCommand } from './commands.ts';
import { Consumer } from './consumer.ts';
import { Refusal } from './refusal.ts';
import type { Slots } from './slots.ts';

const TEXT_OID = 25;

/** Whether a client asks for a walsender, and for one that can run SQL too. */
export function wantsReplication(parameters: ReadonlyMap<string, string>): boolean {
  return parameters.has('replication');
}

/**
 * A replication connection. Who may have one the upstream decides, whose walsender also runs what is SQL; slots are the proxy's.
 */
export class Walsender {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #upstream: Upstream;
  readonly #slots: Slots;
  readonly #parameters: ReadonlyMap<string, string>;
  #ready: PromiseWithResolvers<TransactionStatus> = Promise.withResolvers();
  #status: TransactionStatus = 'I';
  #pid = 0;
  #consumer: Consumer | undefined;
  /** The command under way. */
  #turn: Promise<void> = Promise.resolve();

  constructor(client: Socket, server: Socket, upstream: Upstream, parameters: ReadonlyMap<string, string>) {
    this.#client = client;
    this.#server = server;
    this.#upstream = upstream;
    this.#slots = upstream.slots;
    this.#parameters = parameters;
    client.once('close', () => this.#consumer?.stop());
  }

  async run(reader: SocketReader): Promise<void> {
    const answers = this.#serveAnswers();
    this.#begin(this.#relay(startupPacket(translateParameters(this.#parameters))));
    await Promise.all([answers, this.#serveRequests(reader)]);
  }

  async #serveRequests(reader: SocketReader): Promise<void> {
    const walker = new FrameWalker('');
    for await (const chunk of reader.chunks()) {
      for (const piece of walker.feed(chunk)) {
        if (piece.kind === 'message') await this.#request(piece.type, piece.bytes);
      }
    }
    this.#consumer?.stop();
    this.#server.end();
  }

  async #request(type: string, bytes: Buffer): Promise<void> {
    if (type === 'd') this.#consumer?.take(body(bytes));
    else if (type === 'c') this.#consumer?.stop();
    else if (type === 'Q') {
      await this.#turn;
      this.#begin(this.#run(cutString(body(bytes)).value));
    } else await send(this.#server, bytes);
  }

  /** A turn that fails, the first one too, ends the connection and nothing else. */
  #begin(turn: Promise<void>): void {
    this.#turn = turn.catch((error: Error) => {
      this.#client.destroy(error);
      this.#server.destroy(error);
    });
  }

  async #run(sql: string): Promise<void> {
    const command = replicationCommand(sql);
    if (command === undefined) return await this.#relay(query(sql));
    try {
      await this.#do(command);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      await send(this.#client, error.bytes());
    }
    await send(this.#client, readyForQuery(this.#status));
  }

  async #do(command: ReplicationCommand): Promise<void> {
    if (command.kind === 'refused') throw command.refusal;
    if (command.kind === 'identify') return await this.#identify();
    if (!this.#upstream.replicates) {
      throw new Refusal('55000', 'logical decoding requires wal_level >= logical');
    }
    const database = databaseOf(this.#parameters);
    if (command.kind === 'create') {
      if (command.lsnType !== 'SEQUENCE' && !this.#slots.behaviour.lsnTypes) {
        throw new Refusal('42601', 'syntax error');
      }
      const slot = await this.#slots.create(database, command);
      const snapshot = command.snapshot === 'use' ? String(slot.created) : undefined;
      // The position is there so that drivers that look for one go on (walsender.c).
      await this.#row(
        ['slot_name', slot.name],
        ['consistent_point', '0/2'],
        ['snapshot_name', snapshot],
        ['output_plugin', slot.plugin],
      );
      return await this.#complete('CREATE_REPLICATION_SLOT');
    }
    if (command.kind === 'drop') {
      if (command.wait) throw new Refusal('0A000', 'Waiting for a replication slot is not yet supported');
      this.#slots.drop(command.name);
      return await this.#complete('DROP_REPLICATION_SLOT');
    }
    const slot = this.#slots.get(command.name);
    if (slot.log.database !== database) {
      throw new Refusal('55000', `replication slot "${slot.name}" was not created in this database`);
    }
    this.#consumer = await Consumer.open(this.#slots, slot, this.#client, command.from, command.options);
    await send(this.#client, encode('W', Buffer.from([0]), int16(0)));
    await this.#consumer.run(this.#pid);
    await send(this.#client, encode('c'));
    await this.#complete('COPY 0');
  }

  /**
   * The documentation calls it unsupported, and nothing in walsender.c refuses it: it answers what means nothing, the identifier of the
   * node's own PostgreSQL and a position in a WAL that has no data.
   */
  async #identify(): Promise<void> {
    await this.#row(
      ['systemid', String(7_000_000_000_000_000_000n + BigInt(this.#upstream.place.node.port))],
      ['timeline', '1'],
      ['xlogpos', '0/1000000'],
      ['dbname', databaseOf(this.#parameters)],
    );
    await this.#complete('IDENTIFY_SYSTEM');
  }

  async #row(...columns: readonly (readonly [name: string, value: string | undefined])[]): Promise<void> {
    const described = columns.map(([name]) =>
      Buffer.concat([
        text(name),
        int32(0),
        int16(0),
        int32(TEXT_OID),
        int16(-1),
        int32(0xffff_ffff),
        int16(0),
      ]),
    );
    const values = columns.map(([, value]) =>
      value === undefined
        ? int32(0xffff_ffff)
        : Buffer.concat([int32(Buffer.byteLength(value)), Buffer.from(value)]),
    );
    await send(
      this.#client,
      Buffer.concat([
        encode('T', int16(columns.length), ...described),
        encode('D', int16(columns.length), ...values),
      ]),
    );
  }

  async #complete(tag: string): Promise<void> {
    await send(this.#client, encode('C', text(tag)));
  }

  async #relay(bytes: Buffer): Promise<void> {
    this.#ready = Promise.withResolvers();
    await Promise.all([send(this.#server, bytes), this.#ready.promise]);
    await send(this.#client, readyForQuery(this.#status));
  }

  async #serveAnswers(): Promise<void> {
    const walker = new FrameWalker('');
    try {
      for await (const chunk of this.#server) {
        for (const piece of walker.feed(chunk)) {
          if (piece.kind === 'bulk') continue;
          if (piece.type === 'Z') {
            this.#status = transactionStatus(piece.bytes);
            this.#ready.resolve(this.#status);
          } else await send(this.#client, this.#forClient(piece.type, piece.bytes));
        }
      }
    } finally {
      this.#ready.reject(new Error('the upstream closed the connection'));
      this.#consumer?.stop();
      this.#client.end();
    }
  }

  #forClient(type: string, bytes: Buffer): Buffer {
    if (type === 'K') this.#pid = body(bytes).readInt32BE(0);
    if (type === 'S' && strings(body(bytes))[0] === 'server_version') {
      return encode('S', text('server_version'), text(this.#upstream.line.version));
    }
    return bytes;
  }
}
