import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { quietVerb } from '../../engines/quiet-verb.ts';
import { resolveSecret } from '../../engines/resolve-secret.ts';
import type { HttpRequest } from '../../model/http-request.ts';
import type { Reach } from '../../model/notification.ts';
import { callWebhook } from '../../receivers/http.ts';
import { lookupWithin } from '../../receivers/reach.ts';

const verb = quietVerb(resolveSecret);

/** Calls of webhooks, to a real server on this machine. */

const KEY = `whsec_${Buffer.from('k'.repeat(32)).toString('base64')}`;
const OLD_KEY = `whsec_${Buffer.from('o'.repeat(32)).toString('base64')}`;

interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

let server: Server;
let port: number;
let received: Received[];
let endlessBytes: number;

beforeAll(async () => {
  server = createServer(async (request, response) => {
    const path = request.url ?? '';
    let body = '';
    for await (const chunk of request) body += String(chunk);
    received.push({ path, headers: request.headers, body });
    if (path.startsWith('/moved'))
      response.writeHead(302, { location: `http://127.0.0.1:${port}/there` }).end();
    else if (path.startsWith('/endless')) {
      response.writeHead(200);
      const pour = (): void => {
        while (!response.destroyed && response.write('x'.repeat(64 * 1024))) endlessBytes += 64 * 1024;
      };
      response.on('drain', pour).on('error', () => undefined);
      pour();
    } else response.writeHead(path.startsWith('/away') ? 503 : 200).end('thanks');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
  process.env.TEST_HTTP_KEY = KEY;
  process.env.TEST_HTTP_KEYS = `${OLD_KEY} ${KEY}`;
  process.env.TEST_HTTP_BAD_KEY = 'sesame, not base64';
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
beforeEach(() => {
  received = [];
  endlessBytes = 0;
});

function call(
  url: string,
  more: Partial<HttpRequest> = {},
  body: Record<string, unknown> | string = { a: 1 },
) {
  return callWebhook(verb, { url: { literal: url }, method: 'POST', ...more }, body);
}

const here = (path: string): string => `http://127.0.0.1:${port}${path}`;

describe('the address of a receiver', () => {
  const refused: readonly (readonly [url: string, reach: Reach])[] = [
    ['http://127.0.0.1/', 'private'],
    ['http://127.8.9.10/', 'private'],
    ['http://2130706433/', 'private'],
    ['http://0x7f.1/', 'private'],
    ['http://0177.0.0.1/', 'private'],
    ['http://localhost/', 'private'],
    ['http://[::1]/', 'private'],
    ['http://[::ffff:127.0.0.1]/', 'private'],
    ['http://[64:ff9b::7f00:1]/', 'private'],
    ['http://169.254.169.254/latest/meta-data/', 'loopback'],
    ['http://[::ffff:a9fe:a9fe]/', 'loopback'],
    ['http://[64:ff9b::a9fe:a9fe]/', 'loopback'],
    ['http://[fe80::1]/', 'loopback'],
    ['http://[fd00:ec2::254]/', 'loopback'],
    ['http://100.100.100.200/', 'loopback'],
    ['http://0.0.0.0/', 'loopback'],
    ['http://[::]/', 'loopback'],
    ['http://255.255.255.255/', 'loopback'],
    ['http://10.1.2.3/', 'public'],
    ['http://172.31.0.1/', 'public'],
    ['http://192.168.1.1/', 'public'],
    ['http://[fd12::1]/', 'public'],
  ];

  test.each(refused)('%s is not called with reach %s', async (url, reach) => {
    await expect(call(url.replace(/(?<=[^/])\/$/, `:${port}/`), { reach })).rejects.toMatchObject({
      code: 'WEBHOOK_ADDRESS_REFUSED',
      transient: false,
    });
    expect(received).toEqual([]);
  });

  test('the worker’s own host is called where the plan says so, by its name too', async () => {
    await expect(call(here('/hook'), { reach: 'loopback' })).resolves.toEqual({ status: 200 });
    await expect(call(`http://localhost:${port}/hook`, { reach: 'loopback' })).resolves.toEqual({
      status: 200,
    });
    expect(received).toHaveLength(2);
  });

  test('a name leads to its addresses within reach alone, and what the plan must say is said', async () => {
    const found = await new Promise((resolve) => {
      lookupWithin('loopback')('localhost', { all: true }, (error, addresses) => resolve(error ?? addresses));
    });
    expect(found).toEqual(expect.arrayContaining([{ address: '127.0.0.1', family: 4 }]));
    const error = await new Promise((resolve) => {
      lookupWithin('public')('localhost', { all: true }, resolve);
    });
    expect(error).toMatchObject({
      code: 'WEBHOOK_ADDRESS_REFUSED',
      remedy: expect.stringContaining('`reach: loopback`'),
    });
  });

  test('what is no address of a web server is refused by name, without a call', async () => {
    await expect(call('ftp://127.0.0.1/x')).rejects.toMatchObject({ code: 'WEBHOOK_BAD_URL' });
    await expect(call('hook.example.com')).rejects.toMatchObject({ code: 'WEBHOOK_BAD_URL' });
  });
});

describe('an answer', () => {
  test('that redirects is not followed', async () => {
    await expect(call(here('/moved'))).rejects.toMatchObject({
      code: 'WEBHOOK_REFUSED',
      transient: false,
      remedy: expect.stringContaining('redirects are not followed'),
    });
    expect(received.map(({ path }) => path)).toEqual(['/moved']);
  });

  test('that never ends is read up to a bound', async () => {
    await expect(call(here('/endless'))).resolves.toEqual({ status: 200 });
    const before = endlessBytes;
    expect(before).toBeLessThan(64 * 1024 * 1024);
  });

  test('of a receiver that is away can be asked for again', async () => {
    await expect(call(here('/away'))).rejects.toMatchObject({ code: 'WEBHOOK_REFUSED', transient: true });
  });
});

test('no message holds a token of the address or a key', async () => {
  const failures = await Promise.all(
    [
      call(here('/away?token=sesame')),
      call(here('/moved?token=sesame')),
      call('http://127.0.0.1:1/?token=sesame'),
      call('http://169.254.169.254/?token=sesame'),
      call('not-an-address-sesame'),
      call(here('/hook'), { messageId: 'm', secret: { env: 'TEST_HTTP_BAD_KEY' } }),
    ].map((called) => called.then(() => 'no failure', String)),
  );
  for (const failure of failures) {
    expect(failure).not.toContain('sesame');
    expect(failure).not.toBe('no failure');
  }
});

describe('a signature', () => {
  test.each([['TEST_HTTP_KEY'], ['TEST_HTTP_KEYS']])(
    'is accepted by the receivers’ library, with the key of %s',
    async (env) => {
      await call(here('/hook'), { messageId: 'message-1', secret: { env } }, { plan: 'orders – ü' });
      const headers = received[0]?.headers ?? {};
      const body = received[0]?.body ?? '';
      const webhook = new Webhook(KEY);
      expect(webhook.verify(body, headers as Record<string, string>)).toEqual({ plan: 'orders – ü' });
      expect(() => webhook.verify(`${body} `, headers as Record<string, string>)).toThrow();
      expect(headers['webhook-id']).toBe('message-1');
    },
  );

  test('is missing where the plan has no key, and the message’s id stays', async () => {
    await call(here('/hook'), { messageId: 'message-2' });
    expect(received[0]?.headers).toMatchObject({ 'webhook-id': 'message-2' });
    expect(received[0]?.headers['webhook-signature']).toBeUndefined();
  });

  test('by a key that is too short is not made', async () => {
    process.env.TEST_HTTP_SHORT_KEY = 'whsec_c2hvcnQ=';
    await expect(
      call(here('/hook'), { messageId: 'm', secret: { env: 'TEST_HTTP_SHORT_KEY' } }),
    ).rejects.toMatchObject({ code: 'WEBHOOK_BAD_SECRET', transient: false });
    expect(received).toEqual([]);
  });
});
