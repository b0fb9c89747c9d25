import path from 'node:path';
import { permanent } from '../model/errors.ts';
import { freePort } from './ports.ts';
import { startServer } from './process.ts';
import { createScratchFolder } from './scratch.ts';
import { executableOf, TOXIPROXY } from './tools.ts';

/** `upstream`: what the client sends; `downstream`: what it gets back. */
type Direction = 'upstream' | 'downstream';

/** A fault on a proxied connection, as toxiproxy's own documentation names them. */
export type Toxic =
  /** Delays the data. */
  | { readonly type: 'latency'; readonly latencyMs: number; readonly jitterMs?: number }
  /** Limits the rate, in units of 1,000 bytes a second. */
  | { readonly type: 'bandwidth'; readonly kilobytesPerSecond: number }
  /** Closes the connection by a TCP reset after this time; 0: at once. */
  | { readonly type: 'reset_peer'; readonly afterMs: number }
  /** Discards the data, and closes the connection after this time; 0: never. */
  | { readonly type: 'timeout'; readonly afterMs: number }
  /** Closes the connection after this many bytes. */
  | { readonly type: 'limit_data'; readonly bytes: number };

/** A listening port that forwards its connections to an upstream server. */
export type Proxy = {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** Adds a fault to new and open connections, and returns its name. It affects each connection with `probability` (default 1). */
  addToxic(toxic: Toxic, options?: { direction?: Direction; probability?: number }): Promise<string>;
  removeToxic(name: string): Promise<void>;
  /** Closes every connection and refuses new ones, until `up`. */
  down(): Promise<void>;
  up(): Promise<void>;
  remove(): Promise<void>;
};

/** A running toxiproxy. */
export type Toxiproxy = {
  /** URL of the HTTP API. */
  readonly apiUrl: string;
  readonly pid: number | undefined;
  /** Listens on a free port in front of `upstream` (`host:port`). */
  createProxy(name: string, upstream: string): Promise<Proxy>;
  /** Enables every proxy and removes every fault. */
  reset(): Promise<void>;
  stop(): Promise<void>;
};

/**
 * Starts toxiproxy, which breaks network connections on request, on 127.0.0.1.
 *
 * @throws HoldfastError `TOOL_NEEDS_GO`, `TOOL_BUILD` or `SERVER_START`
 */
export async function startToxiproxy(): Promise<Toxiproxy> {
  const command = await executableOf(TOXIPROXY);
  const scratch = await createScratchFolder('toxiproxy');
  try {
    const host = '127.0.0.1';
    const port = await freePort();
    const apiUrl = `http://${host}:${port}`;
    const server = await startServer({
      name: 'toxiproxy',
      command,
      args: ['-host', host, '-port', String(port)],
      logFile: path.join(scratch.path, 'toxiproxy.log'),
      checkReady: () => call(apiUrl, 'GET', '/version'),
    });
    return {
      apiUrl,
      get pid() {
        return server.pid;
      },
      createProxy: (name, upstream) => createProxy(apiUrl, host, name, upstream),
      reset: () => call(apiUrl, 'POST', '/reset'),
      async stop() {
        await server.stop();
        await scratch.remove();
      },
    };
  } catch (error) {
    await scratch.remove();
    throw error;
  }
}

async function createProxy(apiUrl: string, host: string, name: string, upstream: string): Promise<Proxy> {
  const port = await freePort();
  await call(apiUrl, 'POST', '/proxies', { name, listen: `${host}:${port}`, upstream, enabled: true });
  const proxyPath = `/proxies/${encodeURIComponent(name)}`;
  let toxics = 0;
  return {
    name,
    host,
    port,
    async addToxic(toxic, { direction = 'downstream', probability = 1 } = {}) {
      const toxicName = `${toxic.type}-${++toxics}`;
      await call(apiUrl, 'POST', `${proxyPath}/toxics`, {
        name: toxicName,
        type: toxic.type,
        stream: direction,
        toxicity: probability,
        attributes: attributesOf(toxic),
      });
      return toxicName;
    },
    removeToxic: (toxicName) => call(apiUrl, 'DELETE', `${proxyPath}/toxics/${toxicName}`),
    down: () => call(apiUrl, 'POST', proxyPath, { enabled: false }),
    up: () => call(apiUrl, 'POST', proxyPath, { enabled: true }),
    remove: () => call(apiUrl, 'DELETE', proxyPath),
  };
}

function attributesOf(toxic: Toxic): Readonly<Record<string, number>> {
  switch (toxic.type) {
    case 'latency':
      return { latency: toxic.latencyMs, jitter: toxic.jitterMs ?? 0 };
    case 'bandwidth':
      return { rate: toxic.kilobytesPerSecond };
    case 'reset_peer':
    case 'timeout':
      return { timeout: toxic.afterMs };
    case 'limit_data':
      return { bytes: toxic.bytes };
  }
}

async function call(
  apiUrl: string,
  method: 'GET' | 'POST' | 'DELETE',
  resource: string,
  body?: object,
): Promise<void> {
  const response = await fetch(`${apiUrl}${resource}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = await response.text();
  if (!response.ok) {
    throw permanent(
      'TOXIPROXY_API',
      `toxiproxy refused ${method} ${resource}: ${response.status} ${answer}`,
      'Check the name of the proxy and the attributes of the fault.',
    );
  }
}
