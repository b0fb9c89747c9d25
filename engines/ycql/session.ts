import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, type ClientOptions, type Host, policies, types } from 'cassandra-driver';
import { defined } from '../../model/defined.ts';

import { type HoldfastError, permanent, recover, transient } from '../../model/errors.ts';
import type { Product } from '../../model/manifest.ts';
import type { CqlConsistency, YcqlSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';
import { cqlError, isInvalid, isTimeout, responseCode } from './errors.ts';
import { LoadLimit, limitMemory, type RequestKind } from './load-limit.ts';
import { connectRawClient, type RawPage, rawPageOf } from './raw-pages.ts';
import { rowsOf } from './rows.ts';
import type { Carried } from './server-message.ts';
import type { CqlTarget } from './target.ts';

/** The kind of server that answers. */
export interface Server {
  readonly product: Exclude<Product, 'postgresql'>;
  readonly version: string;
}

/** In a bound statement: leaves the present value as it is. */
export const UNSET = types.unset;

/** A value of a bound statement: raw CQL bytes, null, or `UNSET`. */
export type Cell = Buffer | null | typeof UNSET;

/** A statement with its parameters as raw CQL values. */
export interface BoundStatement {
  readonly query: string;
  readonly params: readonly Cell[];
  /** Cells of the key of the partition that it writes to, in order. */
  readonly partition?: readonly Cell[];
}

interface PageRequest {
  readonly pageRows: number;
  readonly pageState?: string | undefined;
  /** Address of the node to ask while it is up. Absent: the node with the fewest requests of this process. */
  readonly host?: string | undefined;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** Longer than any of the server's own timeouts, so that the server itself says what was wrong. */
const READ_TIMEOUT_MS = 35_000;
/** The most requests that one connection carries at once. */
const REQUESTS_PER_CONNECTION = 1_024;

/** How long to wait until a node that was away has heard of all schema changes. */
const AGREEMENT_MS = 30_000;
const AGREEMENT_PAUSE_MS = 500;

/** For this long after a request without an answer, a node gets no requests if there are others. */
const NODE_REST_MS = 2_000;

/** A connection to a cluster, shared by the work of one thread. Rows of users' tables come undecoded. */
export class CqlSession {
  readonly server: Server;
  readonly limit: LoadLimit;
  readonly #client: Client;
  readonly #consistency: number;
  readonly #localDataCenter: string;
  /** By address: when a node last failed to answer, in milliseconds of `performance.now()`. */
  readonly #failedAt = new Map<string, number>();
  /** Nodes to ask, until the driver hears of a change. */
  #local: readonly Host[] | undefined;
  #turn = 0;
  #outages = 0;

  constructor(client: Client, facts: SessionFacts) {
    this.#client = client;
    this.server = facts.server;
    this.limit = facts.limit;
    this.#consistency = CONSISTENCY[facts.consistency];
    this.#localDataCenter = facts.localDataCenter;
    client.on('hostDown', () => {
      this.#outages += 1;
    });
    for (const change of ['hostAdd', 'hostRemove', 'hostUp', 'hostDown'] as const) {
      client.on(change, () => {
        this.#local = undefined;
      });
    }
  }

  /**
   * How often a node went away: a connection broke, or the driver noticed it. What the node answered just before may be lost: by default Cassandra
   * writes its commit log to the disk only every ten seconds (`commitlog_sync: periodic`), but answers before that.
   */
  get outages(): number {
    return this.#outages;
  }

  /** Addresses of the nodes that are up. */
  get hosts(): readonly string[] {
    return this.#upHosts().map(({ address }) => address);
  }

  get dataCenters(): ReadonlySet<string> {
    return new Set(this.#client.hosts.values().map(({ datacenter }) => String(datacenter)));
  }

  /** The most batches that may be under way at once, on all nodes of the local data centre together. */
  get writesInFlight(): number {
    return this.limit.perNode.write * Math.max(1, this.#localHosts().length);
  }

  /** Decoded rows of a statement on the server's own tables. Throws as `cqlError`, as do the other methods with `doing`. */
  async query<Row extends object>(
    doing: string,
    cql: string,
    params: readonly unknown[] = [],
    signal?: AbortSignal,
  ): Promise<readonly Row[]> {
    return await this.#run(doing, carriedBy(params), signal, async () => {
      const options = { prepare: params.length > 0, fetchSize: 1_000 };
      return await this.#knowing(async () => {
        const rows: unknown[] = [];
        for await (const row of await this.#client.execute(cql, [...params], options)) rows.push(row);
        return rows as Row[];
      });
    });
  }

  /**
   * Runs a statement and ignores its rows. DDL waits for schema agreement. Pass `carried: 'values'` if the statement's text itself holds secrets.
   */
  async execute(
    doing: string,
    cql: string,
    params: readonly Cell[] = [],
    signal?: AbortSignal,
    {
      keyspace,
      carried = carriedBy(params),
    }: { readonly keyspace?: string; readonly carried?: Carried } = {},
  ): Promise<void> {
    const options = {
      prepare: params.length > 0,
      consistency: this.#consistency,
      isIdempotent: true,
      ...defined({ keyspace }),
    };
    await this.#run(doing, carried, signal, () =>
      this.#knowing(() => this.#client.execute(cql, [...params], options)),
    );
  }

  /** Runs a conditional statement on a user's table; returns whether its condition held. */
  async writeIf(doing: string, cql: string, params: readonly Cell[], signal?: AbortSignal): Promise<boolean> {
    const { localQuorum, localOne, localSerial } = types.consistencies;
    const isLocal = this.#consistency === localQuorum || this.#consistency === localOne;
    return await this.#run(doing, carriedBy(params), signal, async () => {
      const options = {
        prepare: true,
        consistency: this.#consistency,
        // YugabyteDB has only one serial consistency.
        ...(this.server.product === 'cassandra' && isLocal ? { serialConsistency: localSerial } : {}),
        isIdempotent: false,
      };
      const result = await this.#knowing(() => this.#client.execute(cql, [...params], options));
      const page = rawPageOf(result);
      const [row] = rowsOf(page, page.columns.length);
      return row?.[0]?.[0] === 1;
    });
  }

  /** One page of rows, undecoded. Throws the driver's error, for the caller to judge. */
  async page(cql: string, params: readonly Cell[], request: PageRequest): Promise<RawPage> {
    const options = {
      prepare: params.length > 0,
      autoPage: false,
      fetchSize: request.pageRows,
      consistency: this.#consistency,
      isIdempotent: true,
      ...defined({ pageState: request.pageState }),
    };
    const wanted = request.host === undefined ? undefined : [request.host];
    return await this.#onNode('read', wanted, async (host) =>
      rawPageOf(await this.#client.execute(cql, [...params], { ...options, ...host })),
    );
  }

  /** All pages of a small answer, joined into one. */
  async rows(
    doing: string,
    cql: string,
    params: readonly Cell[] = [],
    signal?: AbortSignal,
  ): Promise<RawPage> {
    return await this.#run(doing, carriedBy(params), signal, async () => {
      let page = await this.page(cql, params, { pageRows: 1_000 });
      const { columns } = page;
      const bodies = [page.body];
      let rows = page.rows;
      while (page.pageState !== undefined) {
        page = await this.page(cql, params, { pageRows: 1_000, pageState: page.pageState });
        bodies.push(page.body);
        rows += page.rows;
      }
      return { rows, columns, body: Buffer.concat(bodies), ownsMemory: false, pageState: undefined };
    });
  }

  /**
   * Writes statements. Throws the driver's error, for the caller to judge.
   *
   * @param node that must take them. Absent: any that has their rows.
   */
  async write(
    keyspace: string,
    statements: readonly BoundStatement[],
    kind: 'idempotent' | 'counter' | 'once',
    node?: Host,
  ): Promise<void> {
    const [first] = statements;
    if (first === undefined) return;
    const options = { prepare: true, consistency: this.#consistency, isIdempotent: kind === 'idempotent' };
    const send = async (host: { readonly host?: Host }) => {
      if (statements.length === 1) {
        await this.#client.execute(first.query, [...first.params], { ...options, ...host });
      } else {
        const queries = statements.map(({ query, params }) => ({ query, params: [...params] }));
        const batch = { ...options, ...host, logged: false, counter: kind === 'counter' };
        await this.#client.batch(queries, batch);
      }
    };
    await this.#onNode('write', this.#replicasOf(keyspace, first), send, node);
  }

  /** A node for several writes to one partition of which each must go over the same. Undefined where no node is known to be up. */
  nodeFor(keyspace: string, [first]: readonly BoundStatement[]): Host | undefined {
    return this.#choose('write', first === undefined ? undefined : this.#replicasOf(keyspace, first));
  }

  /** A node that holds the rows of a token, if the driver knows it (Cassandra). Different tokens get different replicas. */
  replicaOfToken(keyspace: string, token: bigint): string | undefined {
    const { metadata } = this.#client;
    const replicas: readonly { readonly address: string }[] =
      metadata.getReplicas(keyspace, metadata.newToken(String(token))) ?? [];
    return replicas[Number(BigInt.asUintN(16, token >> 48n)) % Math.max(1, replicas.length)]?.address;
  }

  /**
   * The token of a partition, on Cassandra.
   *
   * @param partition cells of its key, in order
   */
  tokenOf(partition: readonly Cell[]): bigint {
    const token = this.#client.metadata.newToken(routingKey(partition));
    return BigInt(String(token.getValue()));
  }

  /**
   * Whether all nodes that are up have the same schema now. Asks each node of the local data centre itself. False if one of them doesn't answer,
   * since it is just going or coming, and its schema isn't known.
   */
  async schemaAgrees(): Promise<boolean> {
    return await recover(this.#hasOneSchema(), 'YCQL_UNAVAILABLE', () => false);
  }

  async #hasOneSchema(): Promise<boolean> {
    const doing = 'compare the schema of the nodes';
    const [first, ...others] = this.#localHosts();
    const ask = (cql: string, host: Host | undefined) =>
      this.#run(doing, 'names', undefined, () =>
        this.#client.execute(cql, [], host === undefined ? {} : { host }),
      );
    const up = new Set(this.hosts.map(withoutPort));
    const peers = (await ask('SELECT schema_version, peer FROM system.peers', first)).rows.filter(
      ({ peer }) => up.has(String(peer)),
    );
    const own = await Promise.all(
      [first, ...others].map(async (host) =>
        (await ask('SELECT schema_version FROM system.local', host)).first(),
      ),
    );
    return new Set([...own, ...peers].map((row) => String(row?.schema_version))).size <= 1;
  }

  /**
   * Runs `send`, and repeats it once if a node may have refused it wrongly. A node that was away refuses, as unknown, what was created meanwhile,
   * until it has heard of it. So with several nodes a refusal counts only if it comes again after all have the same schema. Throws
   * `YCQL_SCHEMA_DISAGREES` (transient) if they don't within half a minute.
   */
  async #knowing<T>(send: () => Promise<T>): Promise<T> {
    try {
      return await send();
    } catch (error) {
      if (!isInvalid(error) || this.#upHosts().length < 2) throw error;
      const deadline = performance.now() + AGREEMENT_MS;
      while (!(await this.schemaAgrees())) {
        if (performance.now() >= deadline) throw schemaDisagrees(error);
        await sleep(AGREEMENT_PAUSE_MS);
      }
    }
    return await send();
  }

  async close(): Promise<void> {
    await this.#client.shutdown();
  }

  /**
   * Runs a request on one of the wanted nodes. If none of them is up (or none is wanted), any node of the local data centre will do. Of several,
   * takes the one with the fewest requests of this process. If no node is known to be up, the driver chooses, or reports that.
   */
  async #onNode<T>(
    kind: RequestKind,
    wanted: readonly string[] | undefined,
    send: (choice: { readonly host?: Host }) => Promise<T>,
    node?: Host,
  ): Promise<T> {
    return await this.#knowing(() => this.#onOneNode(kind, wanted, send, node));
  }

  async #onOneNode<T>(
    kind: RequestKind,
    wanted: readonly string[] | undefined,
    send: (choice: { readonly host?: Host }) => Promise<T>,
    host = this.#choose(kind, wanted),
  ): Promise<T> {
    if (host === undefined) return await send({});
    const { address } = host;
    try {
      return await this.limit.request(kind, address, () => send({ host }));
    } catch (error) {
      if (responseCode(error) === undefined) {
        this.#failedAt.set(address, performance.now());
        // A slow node is no outage: what it answered before is kept.
        if (!isTimeout(error)) this.#outages += 1;
      }
      throw error;
    }
  }

  #choose(kind: RequestKind, wanted: readonly string[] | undefined): Host | undefined {
    const local = this.#localHosts();
    if (local.length < 2) return local[0];
    const rested = local.filter(({ address }) => !this.#isResting(address));
    const near = rested.filter(({ address }) => wanted?.some((one) => isAddressOf(address, one)) ?? false);
    const from = near.length > 0 ? near : rested.length > 0 ? rested : local;
    this.#turn += 1;
    const busy = (host: Host | undefined) =>
      host === undefined ? Number.POSITIVE_INFINITY : this.limit.busy(kind, host.address);
    return from
      .map((_, index) => from[(index + this.#turn) % from.length])
      .reduce((least, host) => (busy(host) < busy(least) ? host : least));
  }

  #isResting(address: string): boolean {
    const failedAt = this.#failedAt.get(address);
    return failedAt !== undefined && performance.now() - failedAt < NODE_REST_MS;
  }

  #upHosts(): readonly Host[] {
    return this.#client.hosts.values().filter((host) => host.isUp());
  }

  #localHosts(): readonly Host[] {
    this.#local ??= this.#upHosts().filter(({ datacenter }) => datacenter === this.#localDataCenter);
    return this.#local;
  }

  /** Addresses of the nodes that hold a statement's partition, if the driver knows them (Cassandra) and there are several nodes. */
  #replicasOf(keyspace: string, { partition }: BoundStatement): readonly string[] | undefined {
    if (partition === undefined || this.server.product !== 'cassandra') return undefined;
    if (this.#client.hosts.length < 2) return undefined;
    const replicas: readonly { readonly address: string }[] =
      this.#client.metadata.getReplicas(keyspace, routingKey(partition)) ?? [];
    return replicas.map(({ address }) => address);
  }

  async #run<T>(
    doing: string,
    carried: Carried,
    signal: AbortSignal | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    try {
      signal?.throwIfAborted();
      return await work();
    } catch (error) {
      throw cqlError(error, doing, carried, signal);
    }
  }
}

/** Values are bound, so a statement without parameters carries only names. */
function carriedBy(params: readonly unknown[]): Carried {
  return params.length === 0 ? 'names' : 'values';
}

interface SessionFacts {
  readonly server: Server;
  readonly consistency: CqlConsistency;
  readonly limit: LoadLimit;
  readonly localDataCenter: string;
}

/** Whether a node's address with its port is the wanted one, which may lack the port (as in `system.partitions`). */
function isAddressOf(address: string, wanted: string): boolean {
  return address === wanted || withoutPort(address) === wanted;
}

function withoutPort(address: string): string {
  return address.replace(/:\d+$/, '');
}

function schemaDisagrees(cause: unknown): HoldfastError {
  return transient(
    'YCQL_SCHEMA_DISAGREES',
    'A node refuses a statement, and the nodes do not have the same schema yet',
    'It is tried again. If it stays so, see `nodetool describecluster` (Cassandra) for the nodes that differ.',
    cause,
  );
}

/** A partition key in the form that is hashed: a single column alone; several each with the length before and a zero after. */
function routingKey(partition: readonly Cell[]): Buffer {
  const cells = partition.map((cell) => (Buffer.isBuffer(cell) ? cell : Buffer.alloc(0)));
  const [only] = cells;
  if (only !== undefined && cells.length === 1) return only;
  return Buffer.concat(
    cells.flatMap((cell) => [Buffer.from([cell.length >> 8, cell.length & 0xff]), cell, Buffer.alloc(1)]),
  );
}

const CONSISTENCY: Readonly<Record<CqlConsistency, number>> = {
  ONE: types.consistencies.one,
  LOCAL_ONE: types.consistencies.localOne,
  QUORUM: types.consistencies.quorum,
  LOCAL_QUORUM: types.consistencies.localQuorum,
  ALL: types.consistencies.all,
};

/** The settings of the source that a session uses. */
export type SessionNeeds = Pick<YcqlSource, 'consistencyLevel' | 'load'>;

/**
 * Connects; the caller closes the session. `memory` is that of a limit that other threads share. Throws as `cqlError`, and
 * `YCQL_NO_SUCH_DATA_CENTER`, `YCQL_PARTITIONER` (permanent).
 */
export async function connect(
  verb: Pick<VerbContext, 'signal' | 'log'>,
  target: CqlTarget,
  source: SessionNeeds,
  memory = limitMemory(),
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
      return new CqlSession(client, {
        server,
        localDataCenter,
        consistency: source.consistencyLevel,
        limit: new LoadLimit(source.load, memory),
      });
    } catch (error) {
      await client.shutdown();
      throw error;
    }
  } catch (error) {
    await checkDataCenter(verb, target);
    throw cqlError(error, doing, 'names', verb.signal);
  }
}

/**
 * Explains a failed connection: throws `YCQL_NO_SUCH_DATA_CENTER` (permanent) if the nodes answer, but from another data centre than the plan
 * names.
 */
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
    // The driver's own schema metadata can't contain YCQL's JSONB columns, and Holdfast reads the schema itself.
    isMetadataSyncEnabled: false,
    policies: {
      retry: new policies.retry.FallthroughRetryPolicy(),
    },
    pooling: { maxRequestsPerConnection: REQUESTS_PER_CONNECTION, warmup: false },
    socketOptions: { connectTimeout: CONNECT_TIMEOUT_MS, readTimeout: READ_TIMEOUT_MS },
    maxPrepared: 10_000,
    ...defined({ credentials: target.login, sslOptions: target.tls }),
  };
}

/** The data centre of the first contact point that answers. */
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

/** Tells the products apart: only YugabyteDB has a table of its tablets. */
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

const limits = new Map<string, SharedArrayBuffer>();

/** Memory of the limit that all threads of this process share for a source. Call it in the main thread. */
export function sharedLimit(target: CqlTarget, { load }: SessionNeeds): SharedArrayBuffer {
  const key = hashOf([target, load]);
  const memory = limits.get(key) ?? limitMemory();
  limits.set(key, memory);
  return memory;
}

/**
 * Lends this thread's session with a cluster to `work`. The session stays open a moment longer for the next use. In a thread of the pool, `memory`
 * is the main thread's `sharedLimit`.
 */
export async function withSession<T>(
  verb: Pick<VerbContext, 'signal' | 'log'>,
  target: CqlTarget,
  source: SessionNeeds,
  work: (session: CqlSession) => Promise<T>,
  memory = sharedLimit(target, source),
): Promise<T> {
  const key = hashOf([target, source.consistencyLevel, source.load]);
  const mine = shared.get(key) ?? open(key, connect(freeOf(verb), target, source, memory));
  mine.users += 1;
  clearTimeout(mine.timer);
  try {
    return await work(await mine.session);
  } finally {
    mine.users -= 1;
    if (mine.users === 0) mine.timer = setTimeout(() => void leave(key, mine), IDLE_MS);
  }
}

/** A context without the caller's signal: others may wait for the same connection, so an abort of the first caller must not end it. */
function freeOf({ log }: Pick<VerbContext, 'log'>): Pick<VerbContext, 'signal' | 'log'> {
  return { signal: new AbortController().signal, log };
}

/** A key that distinguishes sources without keeping their credentials. */
function hashOf(facts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex');
}

function open(key: string, session: Promise<CqlSession>): Shared {
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
  const session = await mine.session.catch(() => undefined); // a failure to connect was thrown to those who waited
  await session?.close();
}

/** Waits until all nodes have the same schema. Returns whether they do within `waitMs` milliseconds. */
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
