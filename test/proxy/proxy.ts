import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { messageOf } from '../../model/errors.ts';
import { serveClient } from './connection.ts';
import { Faults } from './faults.ts';
import type { Node } from './nodes.ts';
import { SnapshotKeeper } from './snapshots.ts';

export interface YsqlProxyOptions {
  /** A superuser's URL of the PostgreSQL server behind it, any database. */
  readonly upstreamUrl: string;
  /** Default: a free one. */
  readonly port?: number;
  /** How long an instant can be read (`timestamp_history_retention_interval_sec`); default YugabyteDB's 900 s. */
  readonly historyRetentionMs?: number;
  /** How old an instant may be when it is first named; an older one is `Snapshot too old`. Default 10 s. */
  readonly firstNamingMs?: number;
  /** How many tablet servers' PostgreSQL there are, each a port of its own that sees its own sessions; default 1. */
  readonly nodes?: number;
  /**
   * Whether a snapshot may be exported (`ysql_enable_pg_export_snapshot`). Off by default up to 2025.2.2.0, and so here, since the version is 2025.1
   * (YugabyteDB PR 32263).
   */
  readonly exportSnapshot?: boolean;
}

export interface YsqlProxy {
  readonly port: number;
  /** The same URL as the upstream's, through the proxy. */
  readonly url: string;
  /** The URL of each node, the first of which is `url`. */
  readonly nodeUrls: readonly string[];
  /** Errors to give instead of answers. */
  readonly faults: Faults;
  /** From now on a node answers nobody; `yb_servers()` still tells of it. */
  takeDown(node: number): void;
  /** Ends every client's connection and the snapshots kept. */
  stop(): Promise<void>;
}

/**
 * Presents a PostgreSQL server as YugabyteDB to whoever speaks PostgreSQL's protocol: its version, its functions, its settings, and reading as of an
 * instant (`yb_read_time`). What it can't do: go back to an instant that nobody named while it was the present.
 */
export async function startYsqlProxy(options: YsqlProxyOptions): Promise<YsqlProxy> {
  const keeper = new SnapshotKeeper({
    upstreamUrl: options.upstreamUrl,
    historyRetentionMs: options.historyRetentionMs ?? 900_000,
    firstNamingMs: options.firstNamingMs ?? 10_000,
  });
  const clients = new Set<Socket>();
  const faults = new Faults();
  const nodes: Node[] = Array.from({ length: options.nodes ?? 1 }, () => ({
    host: '127.0.0.1',
    port: 0,
    backends: new Set<number>(),
    down: false,
  }));
  const listen = async (node: Node, wanted: number) => {
    const listener = createServer({ noDelay: true }, (client) => {
      if (node.down) return client.resetAndDestroy();
      clients.add(client);
      client.once('close', () => clients.delete(client));
      client.on('error', (error) => process.stderr.write(`client: ${error.message}\n`));
      const place = { nodes, node, upstreamUrl: options.upstreamUrl };
      serveClient(client, {
        url: options.upstreamUrl,
        keeper,
        place,
        faults,
        exportSnapshot: options.exportSnapshot ?? false,
      }).catch((error: unknown) => {
        // A client that is gone takes its session with it; that is no error.
        if (client.destroyed) return;
        process.stderr.write(`connection ended: ${messageOf(error)}\n`);
        client.resetAndDestroy();
      });
      return undefined;
    });
    listener.listen(wanted, '127.0.0.1');
    await once(listener, 'listening');
    node.port = (listener.address() as AddressInfo).port;
    return listener;
  };
  const listeners = await Promise.all(
    nodes.map((node, index) => listen(node, index === 0 ? (options.port ?? 0) : 0)),
  );
  const nodeUrls = nodes.map(({ port }) => throughPort(options.upstreamUrl, port));
  return {
    port: nodes[0]?.port ?? 0,
    url: nodeUrls[0] ?? '',
    nodeUrls,
    faults,
    takeDown(index) {
      const node = nodes[index];
      if (node !== undefined) node.down = true;
    },
    async stop() {
      const closed = listeners.map((listener) => once(listener, 'close'));
      for (const listener of listeners) listener.close();
      for (const client of clients) client.destroy();
      await Promise.all(closed);
      await keeper.close();
    },
  };
}

function throughPort(upstreamUrl: string, port: number): string {
  const url = new URL(upstreamUrl);
  url.hostname = '127.0.0.1';
  url.port = String(port);
  return url.href;
}
