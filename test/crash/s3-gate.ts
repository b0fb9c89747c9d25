import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** A reverse proxy in front of the S3 gateway: counts what is sent, and answers 503 where it is told to. */
export interface S3Gate {
  readonly host: string;
  readonly port: number;
  /** From now on this share of the requests gets `503 SlowDown`. */
  refuse(share: number, roll: () => number): void;
  /** Bytes of bodies received by PUT since `resetCount`, by object key. */
  received(): ReadonlyMap<string, number>;
  resetCount(): void;
  stop(): Promise<void>;
}

const SLOW_DOWN =
  '<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>';

/** Starts it on a free port, in front of `upstream`, a gateway on this machine. */
export async function startS3Gate(upstream: {
  readonly host: string;
  readonly port: number;
}): Promise<S3Gate> {
  let refusal = { share: 0, roll: () => 1 };
  let counts = new Map<string, number>();
  const sockets = new Set<Socket>();
  const server = createServer((incoming, outgoing) => {
    if (refusal.roll() < refusal.share) {
      outgoing.writeHead(503, { 'content-type': 'application/xml', connection: 'close' }).end(SLOW_DOWN);
      incoming.resume();
      return;
    }
    const counted = counts;
    if (incoming.method === 'PUT') {
      const key = keyOf(incoming.url ?? '/');
      incoming.on('data', (chunk: Buffer) => counted.set(key, (counted.get(key) ?? 0) + chunk.length));
    }
    forward(incoming, outgoing, upstream);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    host: '127.0.0.1',
    port,
    refuse(share, roll) {
      refusal = { share, roll };
    },
    received: () => counts,
    resetCount() {
      counts = new Map();
    },
    async stop() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Headers go through as they came: the signature covers them, `host` too. A broken gateway breaks the client's connection. */
function forward(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  upstream: { readonly host: string; readonly port: number },
): void {
  const { expect: _answeredHere, ...headers } = incoming.headers;
  const onward = request({
    ...upstream,
    method: incoming.method,
    path: incoming.url,
    headers,
    setHost: false,
  });
  const fail = () => incoming.socket.destroy();
  onward.on('response', (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.on('error', fail).pipe(outgoing);
  });
  onward.on('error', fail);
  incoming.on('error', () => onward.destroy());
  incoming.pipe(onward);
}

/** The path without the bucket and the query. */
function keyOf(url: string): string {
  const { pathname } = new URL(url, 'http://gateway');
  return decodeURIComponent(pathname).replace(/^\/[^/]*\//, '');
}
