import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { messageOf, permanent } from '../model/errors.ts';

/**
 * Serves all metrics at one endpoint: Temporal's own, which its runtime serves on a port of 127.0.0.1, followed by Holdfast's.
 * Temporal's meter could carry Holdfast's gauges too, but it never drops one: a removed plan would stay, and with it an alert
 * that nothing can clear.
 */
export async function serveMetrics(
  address: string,
  temporalAddress: string,
  own: () => string,
): Promise<Server> {
  const { host, port } = splitAddress(address);
  const server = createServer(async (request, response) => {
    if (request.url?.split('?')[0] !== '/metrics') {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('see /metrics\n');
      return;
    }
    try {
      const temporal = await fetch(`http://${temporalAddress}/metrics`, {
        signal: AbortSignal.timeout(5_000),
      });
      const body = (await temporal.text()) + own();
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(body);
    } catch (error) {
      response.writeHead(503, { 'content-type': 'text/plain' }).end(`${messageOf(error)}\n`);
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        permanent(
          'METRICS_ADDRESS',
          `metrics can't be served on ${address}: ${messageOf(error)}`,
          'Choose another --metrics HOST:PORT, or stop what listens there.',
          error,
        ),
      ),
    );
    server.listen(port, host, resolve);
  });
  // The server must not keep the process alive when its worker has ended.
  server.unref();
  return server;
}

/** `host:port`; an IPv6 address in brackets. Throws `METRICS_ADDRESS`. */
function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const [, host, port] = /^(.+):(\d{1,5})$/.exec(address) ?? [];
  if (host === undefined || Number(port) > 65_535) {
    throw permanent('METRICS_ADDRESS', `${address} is not HOST:PORT`, 'Write e.g. --metrics 0.0.0.0:9464.');
  }
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
}

/** A free address on 127.0.0.1 for Temporal's runtime. The runtime can't choose a port and report it. */
export async function freeLocalAddress(): Promise<string> {
  const probe = createTcpServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', resolve);
  });
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return `127.0.0.1:${port}`;
}
