import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type Client, types } from 'cassandra-driver';
import { isMultiCell, parseType } from '../../../engines/ycql/cql-type.ts';
import { plainClient, type TestCluster } from '../zoo.ts';
import { Dialect, FROM_THE_BEGINNING, PARTITIONS_KEYSPACE, type Statement, tabletsOf } from './dialect.ts';
import {
  BodyReader,
  decodeRows,
  encodeFrame,
  encodeRows,
  type Frame,
  FrameReader,
  int,
  OPCODE,
  RESULT_KIND,
} from './frames.ts';

export interface YcqlProxy extends TestCluster {
  /** Statements that YCQL refuses, with why. */
  readonly refused: readonly string[];
  stop(): Promise<void>;
}

/** Presents YCQL in front of a real Cassandra: see `dialect.ts` for what differs. */
export async function startYcqlProxy(upstream: TestCluster): Promise<YcqlProxy> {
  const admin = plainClient(upstream);
  await createPartitions(admin);
  const dialect = new Dialect((keyspace, table) => multiCellColumns(admin, keyspace, table));
  const prepared = new Map<string, Statement>();
  const sockets = new Set<Socket>();
  const server: Server = createServer((client) => {
    const link = new Link(
      client,
      connect(upstream.port, upstream.contactPoints[0]),
      dialect,
      prepared,
      (name) => listTablets(admin, name, upstream.contactPoints[0] ?? ''),
    );
    for (const socket of link.sockets) {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  return {
    contactPoints: ['127.0.0.1'],
    port: address.port,
    localDataCenter: upstream.localDataCenter,
    refused: dialect.refused,
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await admin.shutdown();
    },
  };
}

async function createPartitions(admin: Client): Promise<void> {
  await admin.execute(
    `CREATE KEYSPACE IF NOT EXISTS ${PARTITIONS_KEYSPACE} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
  );
  await admin.execute(
    `CREATE TABLE IF NOT EXISTS ${PARTITIONS_KEYSPACE}.partitions (keyspace_name text, table_name text, start_key blob, end_key blob, id uuid, replica_addresses map<inet, text>, PRIMARY KEY (keyspace_name, table_name, start_key))`,
  );
}

async function listTablets(admin: Client, name: string, host: string): Promise<void> {
  const [keyspace, table] = name.split('.');
  for (const { start, end } of tabletsOf()) {
    const replicas = { [host]: 'LEADER' };
    await admin.execute(
      `INSERT INTO ${PARTITIONS_KEYSPACE}.partitions (keyspace_name, table_name, start_key, end_key, id, replica_addresses) VALUES (?, ?, ?, ?, ?, ?)`,
      [keyspace, table, start, end, types.Uuid.random(), replicas],
      { prepare: true },
    );
  }
}

async function multiCellColumns(
  admin: Client,
  keyspace: string,
  table: string,
): Promise<ReadonlySet<string>> {
  const { rows } = await admin.execute(
    'SELECT column_name, type FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?',
    [keyspace, table],
    { prepare: true },
  );
  return new Set(
    rows.filter(({ type }) => isMultiCell(parseType(type))).map(({ column_name }) => String(column_name)),
  );
}

/** One connection of a client, and its counterpart to the real server; frames keep their order and their streams. */
class Link {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #dialect: Dialect;
  readonly #prepared: Map<string, Statement>;
  readonly #created: (name: string) => Promise<void>;
  /** By stream: what was asked. */
  readonly #asked = new Map<
    number,
    {
      readonly opcode: number;
      readonly statement: Statement | undefined;
      readonly emptied?: boolean;
    }
  >();
  #upwards: Promise<void> = Promise.resolve();
  #downwards: Promise<void> = Promise.resolve();

  constructor(
    client: Socket,
    server: Socket,
    dialect: Dialect,
    prepared: Map<string, Statement>,
    created: (name: string) => Promise<void>,
  ) {
    this.#client = client;
    this.#server = server;
    this.#dialect = dialect;
    this.#prepared = prepared;
    this.#created = created;
    const [up, down] = [new FrameReader(), new FrameReader()];
    client.on('data', (bytes) => {
      for (const frame of up.take(bytes)) this.#upwards = this.#upwards.then(() => this.#ask(frame));
    });
    server.on('data', (bytes) => {
      for (const frame of down.take(bytes)) this.#downwards = this.#downwards.then(() => this.#answer(frame));
    });
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  }

  get sockets(): readonly Socket[] {
    return [this.#client, this.#server];
  }

  async #ask(frame: Frame): Promise<void> {
    if (frame.opcode === OPCODE.query || frame.opcode === OPCODE.prepare) {
      const reader = new BodyReader(frame.body);
      const statement = await this.#dialect.translate(reader.longString());
      if ('error' in statement) {
        const error = { ...frame, version: 0x84, flags: 0, opcode: OPCODE.error, body: statement.error };
        this.#client.write(encodeFrame(error));
        return;
      }
      this.#asked.set(frame.stream, { opcode: frame.opcode, statement });
      const text = Buffer.from(statement.text);
      this.#server.write(
        encodeFrame({ ...frame, body: Buffer.concat([int(text.length), text, reader.rest()]) }),
      );
      return;
    }
    if (frame.opcode === OPCODE.execute) {
      const statement = this.#prepared.get(new BodyReader(frame.body).shortBytes().toString('hex'));
      this.#asked.set(frame.stream, { opcode: frame.opcode, statement });
      if (statement?.hashBounds !== true) {
        this.#server.write(encodeFrame(frame));
        return;
      }
      const { body, isFirst } = this.#dialect.translateExecute(frame.body);
      // A tablet may have nothing to give, and says where to go on: the first page of a scan is empty here.
      this.#asked.set(frame.stream, { opcode: frame.opcode, statement, emptied: isFirst });
      this.#server.write(encodeFrame({ ...frame, body }));
      return;
    }
    this.#asked.delete(frame.stream);
    this.#server.write(encodeFrame(frame));
  }

  async #answer(frame: Frame): Promise<void> {
    const asked = this.#asked.get(frame.stream);
    if (frame.opcode !== OPCODE.result || asked === undefined) {
      this.#client.write(encodeFrame(frame));
      return;
    }
    // Warnings of the server stand before the body proper, and YCQL has none.
    const body = (frame.flags & WARNING) === 0 ? frame.body : withoutWarnings(frame.body);
    const plain = { ...frame, flags: frame.flags & ~WARNING, body };
    const kind = body.readInt32BE(0);
    if (kind === RESULT_KIND.prepared && asked.statement !== undefined) {
      this.#prepared.set(new BodyReader(body, 4).shortBytes().toString('hex'), asked.statement);
    }
    if (kind === RESULT_KIND.schemaChange && asked.statement?.creates !== undefined) {
      await this.#created(asked.statement.creates);
    }
    if (kind === RESULT_KIND.rows) {
      const found = this.#dialect.translateRows(decodeRows(body), asked.statement);
      const rows =
        asked.emptied === true ? { ...found, rows: [], pagingState: Buffer.from(FROM_THE_BEGINNING) } : found;
      this.#client.write(encodeFrame({ ...plain, body: encodeRows(rows) }));
      return;
    }
    this.#client.write(encodeFrame(plain));
  }
}

const WARNING = 0x08;

function withoutWarnings(body: Buffer): Buffer {
  const reader = new BodyReader(body);
  for (let left = reader.short(); left > 0; left -= 1) reader.string();
  return reader.rest();
}
