import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net';
import type { Ports } from './actions.ts';
import { AnswerLost, after, before, dispatch, type Request } from './dispatch.ts';
import { dumpEntities, flags, home, tabletServers } from './pages.ts';
import {
  MASTER_RPC_PORT,
  MASTER_WEB_PORT,
  RPC_PORT,
  TSERVER_WEB_PORT,
  type World,
  YSQL_PORT,
} from './world.ts';

const LONGEST_REQUEST = 256 * 1024 * 1024;

/** The listening ports of masters and tablet servers. */
export class Nodes implements Ports {
  readonly #world: World;
  readonly #open = new Map<string, (Server | TcpServer)[]>();

  constructor(world: World) {
    this.#world = world;
  }

  async openAll(): Promise<void> {
    const { masters, tservers } = this.#world.state;
    for (const { uuid, alive } of masters) if (alive) await this.openMaster(uuid);
    for (const { uuid, alive } of tservers) if (alive) await this.openTserver(uuid);
  }

  async openMaster(uuid: string): Promise<void> {
    const { host } = this.#master(uuid);
    const rpc = createServer((request, response) =>
      this.#answer(response, () => this.#rpc(uuid, request, response)),
    );
    const web = createServer((request, response) =>
      this.#answer(response, () => this.#masterPage(uuid, request, response)),
    );
    await this.#listen(uuid, [
      [rpc, host, MASTER_RPC_PORT],
      [web, host, MASTER_WEB_PORT],
    ]);
  }

  async openTserver(uuid: string): Promise<void> {
    const { host } = this.#world.tserver(uuid);
    const rpc = createTcpServer((socket) => socket.destroy());
    const web = createServer((request, response) =>
      this.#answer(response, () => this.#tserverPage(uuid, request, response)),
    );
    const ysql = createTcpServer((client) => forward(client, this.#world.state.proxyPort));
    await this.#listen(uuid, [
      [rpc, host, RPC_PORT],
      [web, host, TSERVER_WEB_PORT],
      [ysql, host, YSQL_PORT],
    ]);
  }

  closeMaster(uuid: string): Promise<void> {
    return this.#close(uuid);
  }

  closeTserver(uuid: string): Promise<void> {
    return this.#close(uuid);
  }

  async #listen(
    uuid: string,
    servers: readonly (readonly [Server | TcpServer, string, number])[],
  ): Promise<void> {
    await this.#close(uuid);
    for (const [server, host, port] of servers) {
      server.listen(port, host);
      await once(server, 'listening');
    }
    this.#open.set(
      uuid,
      servers.map(([server]) => server),
    );
  }

  async #close(uuid: string): Promise<void> {
    const servers = this.#open.get(uuid) ?? [];
    this.#open.delete(uuid);
    for (const server of servers) {
      // Not awaited, because the call that stops a master may come through that master.
      server.close();
      if ('closeIdleConnections' in server) server.closeIdleConnections();
    }
  }

  #master(uuid: string) {
    const found = this.#world.state.masters.find((master) => master.uuid === uuid);
    if (found === undefined) throw new Error(`no master ${uuid}`);
    return found;
  }

  #answer(response: ServerResponse, act: () => Promise<void>): void {
    response.setHeader('connection', 'close');
    act().catch((error: unknown) => {
      if (error instanceof AnswerLost) {
        response.destroy();
        return;
      }
      process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
      if (!response.headersSent) response.writeHead(500);
      response.end(error instanceof Error ? error.message : String(error));
    });
  }

  async #rpc(uuid: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const call = JSON.parse(await bodyOf(request)) as Request;
    if (this.#world.state.config.tls && !call.certificates) {
      response.writeHead(421).end('certificates wanted');
      return;
    }
    if (!this.#master(uuid).leads) {
      response.writeHead(409).end('not the leader');
      return;
    }
    const answer = await dispatch(this.#world, this, call);
    const text = JSON.stringify(answer);
    // The length lets `yb-admin` recognise a truncated answer.
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
    response.writeHead(200, headers).end(text);
  }

  /** Serves a master's page. Only the leader has the pages; the others answer with a redirect to it. */
  async #masterPage(uuid: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? '/', 'http://master');
    const leader = this.#world.state.masters.find(({ leads }) => leads);
    if (leader === undefined || leader.uuid !== uuid) {
      const to = leader === undefined ? '' : `http://${leader.host}:${MASTER_WEB_PORT}${request.url}`;
      response
        .writeHead(200, { 'content-type': 'text/html' })
        .end(
          `<html><head><meta http-equiv="refresh" content="0; url=${to}"></head><body>Redirecting to the leader master</body></html>`,
        );
      return;
    }
    const pages: Readonly<Record<string, () => Promise<string>>> = {
      '/dump-entities': () => dumpEntities(this.#world),
      '/api/v1/tablet-servers': async () => tabletServers(this.#world),
      '/api/v1/health-check': async () =>
        JSON.stringify({ dead_nodes: [], most_recent_uptime: 3600, under_replicated_tablets: [] }),
    };
    await this.#page(`GET ${pathname}`, pages[pathname], response);
  }

  async #tserverPage(uuid: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? '/', 'http://tserver');
    const pages: Readonly<Record<string, () => Promise<string>>> = {
      '/varz': async () => flags(this.#world, uuid),
      '/': async () => home(this.#world, uuid),
    };
    await this.#page(`GET ${pathname}`, pages[pathname], response);
  }

  async #page(
    operation: string,
    render: (() => Promise<string>) | undefined,
    response: ServerResponse,
  ): Promise<void> {
    if (render === undefined) {
      response.writeHead(404).end('Error 404: there is no such page');
      return;
    }
    const body = await this.#world.exclusively(async () => {
      await before(this.#world, this, operation);
      const text = await render();
      await after(this.#world, this, operation);
      return text;
    });
    response
      .writeHead(200, { 'content-type': body.startsWith('{') ? 'application/json' : 'text/plain' })
      .end(body);
  }
}

export async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request) {
    parts.push(part as Buffer);
    length += (part as Buffer).length;
    if (length > LONGEST_REQUEST) throw new Error('the request is too long');
  }
  return Buffer.concat(parts).toString('utf8');
}

/** Forwards every node's YSQL port to the one PostgreSQL behind them all. */
function forward(client: Socket, port: number): void {
  const server = connect(port, '127.0.0.1');
  client.on('error', () => server.destroy());
  server.on('error', () => client.destroy());
  client.pipe(server).pipe(client);
}
