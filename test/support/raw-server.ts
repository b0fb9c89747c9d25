import { createServer, type Server } from 'node:net';
import { freePort } from '../../parts/ports.ts';

/** A server whose every answer a test writes. */
export interface RawServer extends AsyncDisposable {
  readonly endpoint: string;
  connections(): number;
  /** The first piece of each request. */
  readonly requests: readonly string[];
}

/** An HTTP answer after which the connection ends. */
export function answer(status: number, body: string, type = 'application/xml'): string {
  return `HTTP/1.1 ${status} X\r\nContent-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`;
}

/** A server whose every answer is made by `respond`; nothing at all where that returns undefined. */
export async function serverThat(respond: (request: string) => string | undefined): Promise<RawServer> {
  const requests: string[] = [];
  let connections = 0;
  const server: Server = createServer((socket) => {
    connections++;
    socket.on('error', () => socket.destroy());
    socket.once('data', (data) => {
      requests.push(String(data));
      const text = respond(String(data));
      if (text !== undefined) socket.end(text);
    });
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${port}`,
    connections: () => connections,
    requests,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
