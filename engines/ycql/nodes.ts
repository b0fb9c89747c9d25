import type { Client, Host } from 'cassandra-driver';
import type { Product } from '../../model/manifest.ts';
import type { BoundStatement, Cell } from './bound-statement.ts';
import { isTimeout, responseCode } from './errors.ts';
import type { LoadLimit, RequestKind } from './load-limit.ts';

/** The kind of server that answers. */
export interface Server {
  readonly product: Exclude<Product, 'postgresql'>;
  readonly version: string;
}

/** For this long after a request without an answer, a node gets no requests if there are others. */
const NODE_REST_MS = 2_000;

/** The nodes of a cluster, and which of them a request goes to. */
export class Nodes {
  readonly server: Server;
  readonly limit: LoadLimit;
  readonly #client: Client;
  readonly #localDataCenter: string;
  /** By address: when a node last failed to answer, in milliseconds of `performance.now()`. */
  readonly #failedAt = new Map<string, number>();
  /** Nodes to ask, until the driver hears of a change. */
  #local: readonly Host[] | undefined;
  #turn = 0;
  #outages = 0;

  constructor(client: Client, server: Server, localDataCenter: string, limit: LoadLimit) {
    this.#client = client;
    this.server = server;
    this.limit = limit;
    this.#localDataCenter = localDataCenter;
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

  get dataCenters(): ReadonlySet<string> {
    return new Set(this.#client.hosts.values().map(({ datacenter }) => String(datacenter)));
  }

  /** The most batches that may be under way at once, on all nodes of the local data centre together. */
  get writesInFlight(): number {
    return this.limit.perNode.write * Math.max(1, this.local().length);
  }

  /** A node for several writes to one partition of which each must go over the same. Undefined where no node is known to be up. */
  nodeFor(keyspace: string, [first]: readonly BoundStatement[]): Host | undefined {
    return this.#choose('write', first === undefined ? undefined : this.replicasOf(keyspace, first));
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
   * Runs a request on one of the wanted nodes. If none of them is up (or none is wanted), any node of the local data centre will do. Of several,
   * takes the one with the fewest requests of this process. If no node is known to be up, the driver chooses, or reports that.
   */
  async request<T>(
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
    const local = this.local();
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

  /** The nodes that are up. */
  up(): readonly Host[] {
    return this.#client.hosts.values().filter((host) => host.isUp());
  }

  /** Those of them in the local data centre. */
  local(): readonly Host[] {
    this.#local ??= this.up().filter(({ datacenter }) => datacenter === this.#localDataCenter);
    return this.#local;
  }

  /** Addresses of the nodes that hold a statement's partition, if the driver knows them (Cassandra) and there are several nodes. */
  replicasOf(keyspace: string, { partition }: BoundStatement): readonly string[] | undefined {
    if (partition === undefined || this.server.product !== 'cassandra') return undefined;
    if (this.#client.hosts.length < 2) return undefined;
    const replicas: readonly { readonly address: string }[] =
      this.#client.metadata.getReplicas(keyspace, routingKey(partition)) ?? [];
    return replicas.map(({ address }) => address);
  }
}

/** Whether a node's address with its port is the wanted one, which may lack the port (as in `system.partitions`). */
function isAddressOf(address: string, wanted: string): boolean {
  return address === wanted || withoutPort(address) === wanted;
}

export function withoutPort(address: string): string {
  return address.replace(/:\d+$/, '');
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
