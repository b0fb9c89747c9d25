import { once } from 'node:events';
import {
  type ClientHttp2Stream,
  connect,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';

/** gRPC status codes. */
export const PERMISSION_DENIED = 7;
export const UNIMPLEMENTED = 12;

/** A proxy in front of a real Temporal server. It forwards every call that it does not refuse. */
export interface TemporalGate {
  readonly address: string;
  /** Sets which methods (e.g. `AddSearchAttributes`) are refused from now on, and with which gRPC code; `*` stands for every other one. */
  refuse(methods: Readonly<Record<string, number>>): void;
  stop(): Promise<void>;
}

/** Starts a gate in front of the Temporal server at `temporal` (`host:port`); it refuses nothing yet. */
export async function startTemporalGate(temporal: string): Promise<TemporalGate> {
  let refused: Readonly<Record<string, number>> = {};
  const upstream = connect(`http://${temporal}`);
  const server = createServer();
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    const method = String(headers[':path']).split('/').at(-1) ?? '';
    const code = refused[method] ?? refused['*'];
    if (code === undefined) return passOn(stream, upstream.request(headers));
    stream.respond(
      {
        ...{ ':status': 200, 'content-type': 'application/grpc' },
        ...{ 'grpc-status': String(code), 'grpc-message': 'Request unauthorized.' },
      },
      { endStream: true },
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => sessions.add(session));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    refuse(methods) {
      refused = methods;
    },
    async stop() {
      upstream.destroy();
      for (const session of sessions) session.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function passOn(stream: ServerHttp2Stream, request: ClientHttp2Stream): void {
  let trailers: IncomingHttpHeaders = {};
  stream.pipe(request);
  request.on('response', (headers, flags) => {
    const endStream = (flags & END_STREAM) !== 0;
    stream.respond(headers, { endStream, waitForTrailers: !endStream });
    if (!endStream) request.pipe(stream);
  });
  request.on('trailers', (received) => {
    trailers = received;
  });
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  stream.on('aborted', () => request.close());
  request.on('error', () => stream.close());
  stream.on('error', () => request.close());
}

const END_STREAM = 0x1;
