import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import path from 'node:path';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { startTemporal, type TemporalServer } from '../../parts/temporal.ts';

/** What the embedded Temporal lets others on this machine do, and a page in the user's browser. On the real server. */
let scratch: ScratchFolder;
let temporal: TemporalServer;
let ports: readonly Listener[];

interface Listener {
  readonly host: string;
  readonly port: number;
}

beforeAll(async () => {
  scratch = await createScratchFolder('embedded-server');
  temporal = await startTemporal({ dbFile: path.join(scratch.path, 'temporal.db') });
  ports = await listenersOf(temporal.pid ?? 0);
});
afterAll(async () => {
  await temporal.stop();
  await scratch.remove();
});

test('it listens on this machine alone', () => {
  expect(ports.length).toBeGreaterThan(2);
  expect([...new Set(ports.map(({ host }) => host))]).toEqual(['127.0.0.1']);
});

/** Temporal's HTTP API takes what a page of any site sends, since its requests need no header of their own. */
test.each([
  ['GET', '/api/v1/namespaces'],
  ['GET', '/namespaces'],
  ['POST', '/api/v1/namespaces/default/workflows/forged'],
  ['POST', '/namespaces/default/workflows/forged'],
  ['POST', '/api/v1/namespaces/default/task-queues/holdfast/nexus-services/any/any'],
  ['POST', '/nexus/endpoints/any/services/any/any'],
])('no port answers %s %s of its HTTP API', async (method, route) => {
  const uiPort = Number(new URL(temporal.uiAddress ?? '').port);
  const answered: string[] = [];
  for (const { host, port } of ports.filter((one) => one.port !== uiPort)) {
    for (const name of ['127.0.0.1', 'evil.example', '']) {
      const said = await askOverHttp(host, port, method, route, name);
      if (/^HTTP\/1\.[01] (?!403|404)/.test(said))
        answered.push(`${port} as ${name}: ${said.split('\r\n')[0]}`);
    }
  }
  expect(answered).toEqual([]);
});

test('its UI takes no request that another site could make', async () => {
  const answer = await fetch(`${temporal.uiAddress}/api/v1/namespaces/default/workflows/forged`, {
    method: 'POST',
    headers: { origin: 'https://evil.example', 'content-type': 'text/plain' },
    body: '{}',
  });
  expect(answer.status).toBeGreaterThanOrEqual(400);
  expect(answer.status).toBeLessThan(404);
  expect(answer.headers.get('access-control-allow-origin')).toBeNull();
});

test('its files are its owner’s alone', async () => {
  const { mode } = await stat(path.join(scratch.path, 'temporal.db'));
  expect(mode & 0o077).toBe(0);
});

/** One request of HTTP/1.1 with any `Host` (`''`: HTTP/1.0 without one), and what is answered within a second. */
async function askOverHttp(
  host: string,
  port: number,
  method: string,
  route: string,
  name: string,
): Promise<string> {
  const { connect } = await import('node:net');
  return new Promise((resolve) => {
    let said = '';
    const socket = connect({ host, port, timeout: 1_000 });
    socket.on('connect', () => {
      const head =
        name === '' ? `${method} ${route} HTTP/1.0` : `${method} ${route} HTTP/1.1\r\nHost: ${name}`;
      socket.write(`${head}\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`);
    });
    socket.on('data', (chunk) => {
      said += chunk.toString('latin1');
    });
    socket.on('timeout', () => socket.destroy());
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(said));
  });
}

/** The TCP ports on which a process listens, as Linux tells. */
async function listenersOf(pid: number): Promise<readonly Listener[]> {
  const links = await Promise.all(
    (await readdir(`/proc/${pid}/fd`)).map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')),
  );
  const inodes = new Set(links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []));
  const found: Listener[] = [];
  for (const table of ['tcp', 'tcp6']) {
    for (const line of (await readFile(`/proc/${pid}/net/${table}`, 'utf8')).trim().split('\n').slice(1)) {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
      if (state !== '0A' || !inodes.has(inode)) continue;
      const [address = '', port = ''] = local.split(':');
      found.push({ host: table === 'tcp' ? ipv4(address) : address, port: Number.parseInt(port, 16) });
    }
  }
  return found;
}

function ipv4(hex: string): string {
  return (hex.match(/../g) ?? [])
    .reverse()
    .map((byte) => Number.parseInt(byte, 16))
    .join('.');
}
