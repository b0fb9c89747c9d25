import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { defined } from '../../model/defined.ts';
import { messageOf } from '../../model/errors.ts';
import { CLIENT_LINES, type ClientLine, type ClientLineName } from './client-lines.ts';
import { serveClient } from './connection.ts';
import { Faults } from './faults.ts';
import type { Node } from './nodes.ts';
import type { ReplicationSettings } from './replication/settings.ts';
import { Slots } from './replication/slots.ts';
import { SnapshotKeeper } from './snapshots.ts';
import { asking } from './superuser.ts';

export interface YsqlProxyOptions {
  /** A superuser's URL of the PostgreSQL server behind it, any database. */
  readonly upstreamUrl: string;
  /** The release line that it pretends to be; default 2025.2, or 2024.2 when the upstream is PostgreSQL 11. */
  readonly line?: ClientLineName;
  /** The address to listen at; default 127.0.0.1. */
  readonly host?: string;
  /** Default: a free one. */
  readonly port?: number;
  /** How long an instant can be read (`timestamp_history_retention_interval_sec`); default YugabyteDB's 900 s. */
  readonly historyRetentionMs?: number;
  /** How old an instant may be when it is first named, milliseconds; an older one is `Snapshot too old`. Default 10 s. */
  readonly firstNamingMs?: number;
  /** For a proxy that is started again after it was killed: see `SnapshotKeeperOptions`. */
  readonly beginsAnew?: boolean;
  /** How many tablet servers it presents; each has its own port and sees only its own sessions; default 1. */
  readonly nodes?: number;
  /** Returns the UUIDs of the nodes' tablet servers; called for each `yb_servers()`. Default: generated ones. */
  readonly uuids?: () => readonly string[];
  /**
   * Whether a snapshot may be exported (`ysql_enable_pg_export_snapshot`). Off by default before 2025.2.2.0, so on every line here except
   * 2026.1 (YugabyteDB PR 32263).
   */
  readonly exportSnapshot?: boolean;
  /** Flags of logical replication, where they are not YugabyteDB's defaults. Slots need an upstream with `wal_level = logical` and `track_commit_timestamp = on`. */
  readonly replication?: Partial<ReplicationSettings>;
}

/** A running proxy. */
export interface YsqlProxy {
  readonly port: number;
  /** The same URL as the upstream's, through the proxy. */
  readonly url: string;
  /** CREATE INDEX statements within a transaction, or in a text of several statements: YSQL would build these indexes without backfill. */
  readonly nonconcurrent: readonly string[];
  /** The URL of each node, the first of which is `url`. */
  readonly nodeUrls: readonly string[];
  /** Errors to return instead of answers. */
  readonly faults: Faults;
  /** Replication slots, and what may be done to them behind a client's back. */
  readonly slots: Slots;
  /** From now on a node answers nobody; `yb_servers()` still tells of it. */
  takeDown(node: number): void;
  /** Ends every client's connection and every snapshot. */
  stop(): Promise<void>;
}

/**
 * Presents a PostgreSQL server as YugabyteDB to clients of PostgreSQL's protocol: its version, functions and settings, and reading at an instant
 * (`yb_read_time`). It can't go back to an instant that nobody named while it was the present.
 */
export async function startYsqlProxy(options: YsqlProxyOptions): Promise<YsqlProxy> {
  const { line, isLogical } = await lineOf(options);
  const slots = new Slots(options.upstreamUrl, line.name, options.replication ?? {});
  const keeper = new SnapshotKeeper({
    upstreamUrl: options.upstreamUrl,
    historyRetentionMs: options.historyRetentionMs ?? 900_000,
    firstNamingMs: options.firstNamingMs ?? 10_000,
    ...defined({ beginsAnew: options.beginsAnew }),
  });
  const clients = new Set<Socket>();
  const nonconcurrent: string[] = [];
  const faults = new Faults();
  const host = options.host ?? '127.0.0.1';
  const nodes: Node[] = Array.from({ length: options.nodes ?? 1 }, (_, index) => ({
    uuid: () => options.uuids?.()[index] ?? '',
    host,
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
        ...{ keeper, slots, replicates: isLogical && slots.behaviour.replicates },
        place,
        faults,
        line,
        nonconcurrent,
        exportSnapshot: options.exportSnapshot ?? line.name === '2026.1',
      }).catch((error: unknown) => {
        // A client that has gone ends its session; that is no error.
        if (client.destroyed) return;
        process.stderr.write(`connection ended: ${messageOf(error)}\n`);
        client.resetAndDestroy();
      });
      return undefined;
    });
    listener.listen(wanted, host);
    await once(listener, 'listening');
    node.port = (listener.address() as AddressInfo).port;
    return listener;
  };
  const listeners = await Promise.all(
    nodes.map((node, index) => listen(node, index === 0 ? (options.port ?? 0) : 0)),
  );
  const nodeUrls = nodes.map(({ port }) => through(options.upstreamUrl, host, port));
  return {
    port: nodes[0]?.port ?? 0,
    url: nodeUrls[0] ?? '',
    nodeUrls,
    ...{ faults, slots },
    takeDown(index) {
      const node = nodes[index];
      if (node !== undefined) node.down = true;
    },
    nonconcurrent,
    async stop() {
      const closed = listeners.map((listener) => once(listener, 'close'));
      for (const listener of listeners) listener.close();
      for (const client of clients) client.destroy();
      await Promise.all(closed);
      await keeper.close();
      await slots.close();
    },
  };
}

/** A line is played by its own PostgreSQL only: catalogue and SQL differ too much. */
async function lineOf({
  upstreamUrl,
  line,
}: YsqlProxyOptions): Promise<{ readonly line: ClientLine; readonly isLogical: boolean }> {
  const found = await asking(upstreamUrl, 'yugabytedb line', (client) =>
    client.query<{ number: string; logical: boolean }>(
      `SELECT current_setting('server_version_num') AS number,
         current_setting('wal_level') = 'logical' AND current_setting('track_commit_timestamp') = 'on' AS logical`,
    ),
  );
  const isLogical = found.rows[0]?.logical === true;
  const isEleven = Number(found.rows[0]?.number) < 120_000;
  const chosen = CLIENT_LINES[line ?? (isEleven ? '2024.2' : '2025.2')];
  if ((chosen.major === 11) === isEleven) return { line: chosen, isLogical };
  throw new Error(`the line ${chosen.name} needs PostgreSQL ${chosen.major}, and the upstream isn't`);
}

function through(upstreamUrl: string, host: string, port: number): string {
  const url = new URL(upstreamUrl);
  url.hostname = host;
  url.port = String(port);
  return url.href;
}
