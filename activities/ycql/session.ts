import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, type ClientOptions, policies, types } from 'cassandra-driver';
import { permanent } from '../../model/errors.ts';
import type { Product } from '../../model/manifest.ts';
import type { CqlConsistency, YcqlSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';
import { cqlError, isInvalid } from './errors.ts';
import { LoadLimit } from './load-limit.ts';
import { connectRawClient, type RawPage, rawPageOf } from './raw-pages.ts';
import type { CqlTarget } from './target.ts';

/** What kind of server answers. */
export interface Server {
  readonly product: Exclude<Product, 'postgresql'>;
  readonly version: string;
}

/** In a bound statement: what is there stays as it is. */
export const UNSET = types.unset;

/** A value of a bound statement: raw CQL bytes, null, or `UNSET`. */
export type Cell = Buffer | null | typeof UNSET;

export interface BoundStatement {
  readonly query: string;
  readonly params: readonly Cell[];
}

export interface PageRequest {
  readonly pageRows: number;
  readonly pageState?: string | undefined;
  /** Asked first; the others where it can't answer. */
  readonly host?: string | undefined;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** Longer than any of the server's own timeouts, so that it is the server who says what was wrong. */
const READ_TIMEOUT_MS = 35_000;
/** Requests that one connection carries at once, at most. */
const REQUESTS_PER_CONNECTION = 1_024;

/** A connected cluster, shared by the lanes of a process. Rows of users' tables come undecoded. */
export class CqlSession {
  readonly server: Server;
  readonly limit: LoadLimit;
  readonly #client: Client;
  readonly #consistency: number;

  constructor(client: Client, server: Server, consistency: CqlConsistency, limit: LoadLimit) {
    this.#client = client;
    this.server = server;
    this.limit = limit;
    this.#consistency = CONSISTENCY[consistency];
  }

  /** Addresses of the nodes that are up. */
  get hosts(): readonly string[] {
    return this.#client.hosts
      .values()
      .filter((host) => host.isUp())
      .map(({ address }) => address);
  }

  get dataCenters(): ReadonlySet<string> {
    return new Set(this.#client.hosts.values().map(({ datacenter }) => String(datacenter)));
  }

  /** Decoded rows of a statement on the server's own tables. */
  async query<Row extends object>(
    doing: string,
    cql: string,
    params: readonly unknown[] = [],
    signal?: AbortSignal,
  ): Promise<readonly Row[]> {
    return await this.#run(doing, signal, async () => {
      const rows: unknown[] = [];
      const options = { prepare: params.length > 0, fetchSize: 1_000 };
      for await (const row of await this.#client.execute(cql, [...params], options)) rows.push(row);
      return rows as Row[];
    });
  }

  /** Runs a statement whose rows nobody wants: DDL waits for schema agreement. */
  async execute(
    doing: string,
    cql: string,
    params: readonly Cell[] = [],
    signal?: AbortSignal,
    keyspace?: string,
  ): Promise<void> {
    await this.#run(doing, signal, () =>
      this.#client.execute(cql, [...params], {
        prepare: params.length > 0,
        consistency: this.#consistency,
        isIdempotent: true,
        ...(keyspace === undefined ? {} : { keyspace }),
      }),
    );
  }

  /** One page of rows, undecoded; throws what the driver threw, for the caller to judge. */
  async page(cql: string, params: readonly Cell[], request: PageRequest): Promise<RawPage> {
    const host = request.host === undefined ? undefined : this.#hostOf(request.host);
    const options = {
      prepare: params.length > 0,
      autoPage: false,
      fetchSize: request.pageRows,
      consistency: this.#consistency,
      isIdempotent: true,
      ...(request.pageState === undefined ? {} : { pageState: request.pageState }),
    };
    return await this.limit.request(this.#upHosts(), async () =>
      rawPageOf(
        await this.#client.execute(cql, [...params], host === undefined ? options : { ...options, host }),
      ),
    );
  }

  /** All pages of a small answer, as one. */
  async rows(
    doing: string,
    cql: string,
    params: readonly Cell[] = [],
    signal?: AbortSignal,
  ): Promise<RawPage> {
    return await this.#run(doing, signal, async () => {
      let page = await this.page(cql, params, { pageRows: 1_000 });
      const { columns } = page;
      const bodies = [page.body];
      let rows = page.rows;
      while (page.pageState !== undefined) {
        page = await this.page(cql, params, { pageRows: 1_000, pageState: page.pageState });
        bodies.push(page.body);
        rows += page.rows;
      }
      return { rows, columns, body: Buffer.concat(bodies), pageState: undefined };
    });
  }

  /** Writes; throws what the driver threw, for the caller to judge. */
  async write(statements: readonly BoundStatement[], kind: 'idempotent' | 'counter' | 'once'): Promise<void> {
    const [first] = statements;
    if (first === undefined) return;
    const options = { prepare: true, consistency: this.#consistency, isIdempotent: kind === 'idempotent' };
    await this.limit.request(this.#upHosts(), async () => {
      if (statements.length === 1) {
        await this.#client.execute(first.query, [...first.params], options);
      } else {
        const queries = statements.map(({ query, params }) => ({ query, params: [...params] }));
        await this.#client.batch(queries, { ...options, logged: false, counter: kind === 'counter' });
      }
    });
  }

  /** A node that holds the rows of a token, where the driver can tell (Cassandra): another one for each token. */
  replicaOfToken(keyspace: string, token: bigint): string | undefined {
    const { metadata } = this.#client;
    const replicas: readonly { readonly address: string }[] =
      metadata.getReplicas(keyspace, metadata.newToken(String(token))) ?? [];
    return replicas[Number(BigInt.asUintN(16, token >> 48n)) % Math.max(1, replicas.length)]?.address;
  }

  /** Whether all nodes have the same schema now. */
  async schemaAgrees(): Promise<boolean> {
    const read = (table: string, address: string) =>
      this.query<{ schema_version: unknown; address?: unknown }>(
        'compare the schema of the nodes',
        `SELECT schema_version${address} FROM system.${table}`,
      );
    const up = new Set(this.hosts.map((host) => host.replace(/:\d+$/, '')));
    const peers = (await read('peers', ', peer AS address')).filter(({ address }) => up.has(String(address)));
    const versions = [...(await read('local', '')), ...peers].map(({ schema_version }) =>
      String(schema_version),
    );
    return new Set(versions).size <= 1;
  }

  async close(): Promise<void> {
    await this.#client.shutdown();
  }

  #upHosts(): number {
    return Math.max(1, this.hosts.length);
  }

  #hostOf(address: string) {
    return this.#client.hosts.values().find((host) => host.address === address && host.isUp());
  }

  async #run<T>(doing: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    try {
      signal?.throwIfAborted();
      return await work();
    } catch (error) {
      throw cqlError(error, doing, signal);
    }
  }
}

const CONSISTENCY: Readonly<Record<CqlConsistency, number>> = {
  ONE: types.consistencies.one,
  LOCAL_ONE: types.consistencies.localOne,
  QUORUM: types.consistencies.quorum,
  LOCAL_QUORUM: types.consistencies.localQuorum,
  ALL: types.consistencies.all,
};

/** Connects; the caller closes. */
export async function connect(
  verb: Pick<VerbContext, 'signal' | 'log'>,
  target: CqlTarget,
  source: Pick<YcqlSource, 'consistencyLevel' | 'load'>,
): Promise<CqlSession> {
  const doing = `connect to ${target.contactPoints.join(', ')} port ${target.port}`;
  try {
    verb.signal.throwIfAborted();
    const localDataCenter = target.localDataCenter ?? (await findDataCenter(verb, target));
    const client = await connectRawClient({ ...clientOptions(target), localDataCenter }, (message) =>
      verb.log(message, {}),
    );
    try {
      const server = await readServer(client);
      if (server.product === 'cassandra') await client.metadata.refreshKeyspaces();
      return new CqlSession(client, server, source.consistencyLevel, new LoadLimit(source.load));
    } catch (error) {
      await client.shutdown();
      throw error;
    }
  } catch (error) {
    await checkDataCenter(verb, target);
    throw cqlError(error, doing, verb.signal);
  }
}

/** Where a connection failed: it may be that the nodes are there, and none of them in the data centre that the plan names. */
async function checkDataCenter(verb: Pick<VerbContext, 'log'>, target: CqlTarget): Promise<void> {
  if (target.localDataCenter === undefined) return;
  let found: string;
  try {
    found = await findDataCenter(verb, target);
  } catch {
    return; // the nodes aren't there: what the connection failed with says why
  }
  if (found === target.localDataCenter) return;
  throw permanent(
    'YCQL_NO_SUCH_DATA_CENTER',
    `The data centre ${target.localDataCenter} was not found: ${target.contactPoints.join(', ')} is in ${found}`,
    'Correct `localDataCenter` in the plan, or leave it out.',
  );
}

function clientOptions(target: CqlTarget): ClientOptions {
  return {
    contactPoints: target.contactPoints.map((host) =>
      host.includes(':') ? `[${host}]:${target.port}` : `${host}:${target.port}`,
    ),
    protocolOptions: { port: target.port, maxVersion: 4 },
    // The driver can't read YCQL's JSONB columns in its own picture of the schema, and Holdfast reads the schema itself.
    isMetadataSyncEnabled: false,
    policies: {
      retry: new policies.retry.FallthroughRetryPolicy(),
    },
    pooling: { maxRequestsPerConnection: REQUESTS_PER_CONNECTION, warmup: false },
    socketOptions: { connectTimeout: CONNECT_TIMEOUT_MS, readTimeout: READ_TIMEOUT_MS },
    maxPrepared: 10_000,
    ...(target.login === undefined ? {} : { credentials: target.login }),
    ...(target.tls === undefined ? {} : { sslOptions: target.tls }),
  };
}

/** That of the first contact point that answers. */
async function findDataCenter(verb: Pick<VerbContext, 'log'>, target: CqlTarget): Promise<string> {
  const options = clientOptions(target);
  const client = await connectRawClient(
    {
      ...options,
      policies: { ...options.policies, loadBalancing: new policies.loadBalancing.RoundRobinPolicy() },
    },
    (message) => verb.log(message, {}),
  );
  try {
    const [row] = (await client.execute('SELECT data_center FROM system.local')).rows;
    return String(row?.data_center);
  } finally {
    await client.shutdown();
  }
}

/** YugabyteDB has a table of its tablets, and Cassandra doesn't. */
async function readServer(client: Client): Promise<Server> {
  const [local] = (await client.execute('SELECT release_version, partitioner FROM system.local')).rows;
  const version = String(local?.release_version);
  try {
    await client.execute('SELECT table_name FROM system.partitions LIMIT 1');
    return { product: 'yugabytedb', version };
  } catch (error) {
    if (!isInvalid(error)) throw error;
  }
  if (!String(local?.partitioner).endsWith('.Murmur3Partitioner')) {
    throw permanent(
      'YCQL_PARTITIONER',
      `The cluster's partitioner is ${String(local?.partitioner)}; chunks are cut by ranges of Murmur3 tokens`,
      'Holdfast backs up YCQL, and Cassandra with Murmur3Partitioner.',
    );
  }
  return { product: 'cassandra', version };
}

/** An idle session waits this long for its next use before it closes. */
const IDLE_MS = 800;

interface Shared {
  readonly session: Promise<CqlSession>;
  users: number;
  timer?: NodeJS.Timeout;
}

const shared = new Map<string, Shared>();

/**
 * Lends the process's session with a cluster to `work`: lanes share it and its limits, and it stays a moment longer for the next
 * chunk.
 */
export async function withSession<T>(
  verb: Pick<VerbContext, 'signal' | 'log'>,
  target: CqlTarget,
  source: Pick<YcqlSource, 'consistencyLevel' | 'load'>,
  work: (session: CqlSession) => Promise<T>,
): Promise<T> {
  const key = createHash('sha256')
    .update(JSON.stringify([target, source.consistencyLevel, source.load]))
    .digest('hex');
  const mine = shared.get(key) ?? open(key, verb, target, source);
  mine.users += 1;
  clearTimeout(mine.timer);
  try {
    return await work(await mine.session);
  } finally {
    mine.users -= 1;
    if (mine.users === 0) mine.timer = setTimeout(() => void leave(key, mine), IDLE_MS);
  }
}

function open(
  key: string,
  verb: Pick<VerbContext, 'signal' | 'log'>,
  target: CqlTarget,
  source: Pick<YcqlSource, 'consistencyLevel' | 'load'>,
): Shared {
  // Others may wait for it too, so it doesn't end with the one that was first.
  const session = connect({ signal: new AbortController().signal, log: verb.log }, target, source);
  const made: Shared = { session, users: 0 };
  session.catch(() => {
    if (shared.get(key) === made) shared.delete(key);
  });
  shared.set(key, made);
  return made;
}

async function leave(key: string, mine: Shared): Promise<void> {
  if (mine.users > 0) return;
  if (shared.get(key) === mine) shared.delete(key);
  const session = await mine.session.catch(() => undefined); // a failure to connect was told to those who waited
  await session?.close();
}

/** Waits until all nodes have one schema. Returns whether they have within `waitMs`. */
export async function awaitSchemaAgreement(
  session: CqlSession,
  waitMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const deadline = Date.now() + waitMs;
  while (!(await session.schemaAgrees())) {
    if (Date.now() >= deadline) return false;
    await sleep(500, undefined, { signal });
  }
  return true;
}
