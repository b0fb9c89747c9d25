import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, type Host, types } from 'cassandra-driver';
import { defined } from '../../model/defined.ts';
import { type HoldfastError, recover, transient } from '../../model/errors.ts';
import type { CqlConsistency } from '../../model/pipeline.ts';
import type { BoundStatement, Cell } from './bound-statement.ts';
import { cqlError, isInvalid } from './errors.ts';
import { type Nodes, type Server, withoutPort } from './nodes.ts';
import { type RawPage, rawPageOf } from './raw-pages.ts';
import { rowsOf } from './rows.ts';
import type { Carried } from './server-message.ts';

interface PageRequest {
  readonly pageRows: number;
  readonly pageState?: string | undefined;
  /** Address of the node to ask while it is up. Absent: the node with the fewest requests of this process. */
  readonly host?: string | undefined;
}

/** How long to wait until a node that was away has heard of all schema changes. */
const AGREEMENT_MS = 30_000;
const AGREEMENT_PAUSE_MS = 500;

/** A connection to a cluster, shared by the work of one thread. Rows of users' tables come undecoded. */
export class CqlSession {
  readonly server: Server;
  readonly nodes: Nodes;
  readonly #client: Client;
  readonly #consistency: number;

  constructor(client: Client, consistency: CqlConsistency, nodes: Nodes) {
    this.#client = client;
    this.#consistency = CONSISTENCY[consistency];
    this.server = nodes.server;
    this.nodes = nodes;
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
    return await this.#knowing(() =>
      this.nodes.request('read', wanted, async (host) =>
        rawPageOf(await this.#client.execute(cql, [...params], { ...options, ...host })),
      ),
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
    const replicas = this.nodes.replicasOf(keyspace, first);
    await this.#knowing(() => this.nodes.request('write', replicas, send, node));
  }

  /** Waits until all nodes have the same schema. Returns whether they do within `waitMs` milliseconds. */
  async awaitSchemaAgreement(waitMs: number, signal?: AbortSignal): Promise<boolean> {
    const deadline = performance.now() + waitMs;
    while (!(await this.#schemaAgrees())) {
      if (performance.now() >= deadline) return false;
      await sleep(AGREEMENT_PAUSE_MS, undefined, defined({ signal }));
    }
    return true;
  }

  /**
   * Whether all nodes that are up have the same schema now. Asks each node of the local data centre itself. False if one of them doesn't answer,
   * since it is just going or coming, and its schema isn't known.
   */
  async #schemaAgrees(): Promise<boolean> {
    return await recover(this.#hasOneSchema(), 'YCQL_UNAVAILABLE', () => false);
  }

  async #hasOneSchema(): Promise<boolean> {
    const doing = 'compare the schema of the nodes';
    const [first, ...others] = this.nodes.local();
    const ask = (cql: string, host: Host | undefined) =>
      this.#run(doing, 'names', undefined, () =>
        this.#client.execute(cql, [], host === undefined ? {} : { host }),
      );
    const up = new Set(this.nodes.up().map(({ address }) => withoutPort(address)));
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
      if (!isInvalid(error) || this.nodes.up().length < 2) throw error;
      if (!(await this.awaitSchemaAgreement(AGREEMENT_MS))) throw schemaDisagrees(error);
    }
    return await send();
  }

  async close(): Promise<void> {
    await this.#client.shutdown();
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

function schemaDisagrees(cause: unknown): HoldfastError {
  return transient(
    'YCQL_SCHEMA_DISAGREES',
    'A node refuses a statement, and the nodes do not have the same schema yet',
    'It is tried again. If it stays so, see `nodetool describecluster` (Cassandra) for the nodes that differ.',
    cause,
  );
}

const CONSISTENCY: Readonly<Record<CqlConsistency, number>> = {
  ONE: types.consistencies.one,
  LOCAL_ONE: types.consistencies.localOne,
  QUORUM: types.consistencies.quorum,
  LOCAL_QUORUM: types.consistencies.localQuorum,
  ALL: types.consistencies.all,
};
