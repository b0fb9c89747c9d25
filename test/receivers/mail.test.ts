import type { AddressInfo } from 'node:net';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { quietVerb } from '../../engines/quiet-verb.ts';
import { resolveSecret } from '../../engines/resolve-secret.ts';
import type { MailRequest } from '../../model/notification.ts';
import { checkReceivers } from '../../receivers/check.ts';
import { sendMail } from '../../receivers/mail.ts';

const verb = quietVerb(resolveSecret);

/** Mail to a real SMTP server on this machine. */

const servers: SMTPServer[] = [];
afterEach(async () => {
  await Promise.all(
    servers.splice(0).map((server) => new Promise<void>((done) => server.close(() => done()))),
  );
});

interface Delivered {
  readonly to: readonly string[];
  readonly text: string;
  readonly secure: boolean;
}

/** @returns its port and what it got */
async function mailServer(options: SMTPServerOptions = {}): Promise<{
  readonly port: number;
  readonly delivered: Delivered[];
  readonly logins: string[];
}> {
  const delivered: Delivered[] = [];
  const logins: string[] = [];
  const server = new SMTPServer({
    authOptional: true,
    // Silences the warning that the server's own certificate is known to everybody.
    logger: false,
    onAuth: ({ username, password }, _session, answer) => {
      logins.push(username ?? '');
      if (username === 'holdfast' && password === 'ses@me:#1') answer(null, { user: username });
      else answer(new Error('wrong user or password'));
    },
    onRcptTo: ({ address }, _session, answer) =>
      answer(address.startsWith('nobody') ? new Error('no such mailbox') : null),
    onData: async (stream, { envelope, secure }, done) => {
      let text = '';
      for await (const chunk of stream) text += String(chunk);
      delivered.push({ to: envelope.rcptTo.map(({ address }) => address), text, secure });
      done();
    },
    ...options,
  });
  server.on('error', () => undefined);
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return { port: (server.server.address() as AddressInfo).port, delivered, logins };
}

const REQUEST: MailRequest = {
  to: ['oncall@example.com', 'dba@example.com'],
  from: 'holdfast@example.com',
  smtp: { env: 'TEST_SMTP_URL' },
  messageId: '7f6d',
  subject: '[Holdfast] PROBLEM: orders: backup failed',
  text: 'Backup b1 FAILED: there is no bucket „é“.\n\nPlan: orders\n',
};

function send(url: string, request: Partial<MailRequest> = {}) {
  process.env.TEST_SMTP_URL = url;
  return sendMail(verb, { ...REQUEST, ...request });
}

test('a mail arrives at all recipients, in plain text, with an id that repetitions share', async () => {
  const { port, delivered } = await mailServer({ disabledCommands: ['STARTTLS', 'AUTH'] });
  await expect(send(`smtp://127.0.0.1:${port}`)).resolves.toEqual({ accepted: 2, refused: [] });
  const [{ to, text } = { to: [], text: '' }] = delivered;
  expect(to).toEqual(REQUEST.to);
  expect(text).toMatch(/^Subject: \[Holdfast\] PROBLEM: orders: backup failed\r$/m);
  expect(text).toMatch(/^Message-ID: <7f6d@holdfast>\r$/m);
  expect(text).toMatch(/^Content-Type: text\/plain/m);
  expect(text).toContain('Plan: orders');
});

test('a password goes through TLS alone', async () => {
  const { port, delivered } = await mailServer();
  await expect(
    send(`smtp://holdfast:ses%40me%3A%231@127.0.0.1:${port}?tls.rejectUnauthorized=false`),
  ).resolves.toMatchObject({ accepted: 2 });
  expect(delivered).toMatchObject([{ secure: true }]);
  const clear = await mailServer({ disabledCommands: ['STARTTLS'], allowInsecureAuth: true });
  await expect(send(`smtp://holdfast:ses%40me%3A%231@127.0.0.1:${clear.port}`)).rejects.toMatchObject({
    code: 'MAIL_REFUSED',
    message: expect.stringContaining('STARTTLS'),
  });
  expect(clear.logins).toEqual([]);
  expect(clear.delivered).toEqual([]);
});

test('a certificate that nobody vouches for is refused', async () => {
  const { port, delivered } = await mailServer();
  await expect(send(`smtp://holdfast:ses%40me%3A%231@127.0.0.1:${port}`)).rejects.toMatchObject({
    code: 'MAIL_UNREACHABLE',
  });
  expect(delivered).toEqual([]);
});

test('a wrong password is told once and for all, and no message holds it', async () => {
  const { port } = await mailServer();
  const failure = send(`smtp://holdfast:open-barley@127.0.0.1:${port}?tls.rejectUnauthorized=false`);
  await expect(failure).rejects.toMatchObject({ code: 'MAIL_REFUSED', transient: false });
  await expect(failure).rejects.not.toThrow(/barley/);
});

test('a recipient that is refused keeps no other from the mail, and is named', async () => {
  const { port, delivered } = await mailServer({ disabledCommands: ['STARTTLS'] });
  const to = ['nobody@example.com', 'dba@example.com'];
  await expect(send(`smtp://127.0.0.1:${port}`, { to })).resolves.toEqual({
    accepted: 1,
    refused: ['nobody@example.com'],
  });
  expect(delivered).toMatchObject([{ to: ['dba@example.com'] }]);
  await expect(send(`smtp://127.0.0.1:${port}`, { to: ['nobody@example.com'] })).rejects.toMatchObject({
    code: 'MAIL_REFUSED',
  });
});

test('a server that is away can be tried again; what is no address of one can’t', async () => {
  await expect(send('smtp://127.0.0.1:1')).rejects.toMatchObject({
    code: 'MAIL_UNREACHABLE',
    transient: true,
  });
  await expect(send('mail.example.com')).rejects.toMatchObject({ code: 'MAIL_BAD_URL', transient: false });
});

test('doctor logs in, sends nothing, and names what it can’t reach', async () => {
  const { port, delivered } = await mailServer({ disabledCommands: ['STARTTLS'] });
  process.env.TEST_SMTP_URL = `smtp://127.0.0.1:${port}`;
  process.env.TEST_DEAD_HOOK = 'http://127.0.0.1:1/?token=sesame';
  process.env.TEST_HOOK = `http://127.0.0.1:${port}/?token=sesame`;
  const { to, from, smtp } = REQUEST;
  const checks = await checkReceivers(verb, [
    { kind: 'email', to, from, smtp, on: ['failure'] },
    { kind: 'webhook', url: { env: 'TEST_DEAD_HOOK' }, on: ['failure'] },
    { kind: 'ping', url: { env: 'TEST_HOOK' }, on: [], reach: 'private' },
    { kind: 'slack', url: { env: 'TEST_HOOK' }, on: ['failure'] },
    { kind: 'webhook', url: { env: 'TEST_HOOK' }, on: ['failure'], secret: { env: 'TEST_HOOK' } },
  ]);
  expect(checks).toMatchObject([
    { name: 'notify: email ($TEST_SMTP_URL)', ok: true },
    { name: 'notify: webhook ($TEST_DEAD_HOOK)', ok: false },
    { name: 'notify: ping ($TEST_HOOK)', ok: false, remedy: expect.stringContaining('reach: loopback') },
    { name: 'notify: slack ($TEST_HOOK)', ok: true },
    { name: 'notify: webhook ($TEST_HOOK)', ok: false, detail: expect.stringContaining('24 to 64 bytes') },
  ]);
  expect(JSON.stringify(checks)).not.toContain('sesame');
  expect(delivered).toEqual([]);
});
