import type { Transporter } from 'nodemailer';
import type { VerbContext } from '../engines/engine.ts';
import { type HoldfastError, permanent, transient } from '../model/errors.ts';
import type { MailRequest } from '../model/notification.ts';
import type { SecretRef } from '../model/source.ts';
import { reasonOf } from './http.ts';

const ANSWERS_WITHIN_MS = 30_000;

/**
 * Sends an e-mail by SMTP. Returns how many recipients the server took, and those that it refused. Throws `MAIL_BAD_URL` (permanent),
 * `MAIL_UNREACHABLE` (transient), `MAIL_REFUSED` (permanent for answers of 500 and above). No message repeats the address of the server,
 * which holds a password, or what the server said.
 */
export async function sendMail(
  verb: VerbContext,
  { to, from, smtp, messageId, subject, text }: MailRequest,
): Promise<{ accepted: number; refused: readonly string[] }> {
  return withServer(verb, smtp, async (server) => {
    const { accepted = [], rejected = [] } = await server.sendMail({
      from,
      to: [...to],
      subject,
      text,
      messageId: `<${messageId}@holdfast>`,
      // Mail servers answer no out-of-office note to such a message (RFC 3834).
      headers: { 'Auto-Submitted': 'auto-generated' },
      disableFileAccess: true,
      disableUrlAccess: true,
    });
    return { accepted: accepted.length, refused: rejected };
  });
}

/** Connects and logs in, and sends nothing. Throws as `sendMail`. */
export async function checkMailServer(verb: VerbContext, smtp: SecretRef): Promise<void> {
  await withServer(verb, smtp, (server) => server.verify());
}

async function withServer<T>(
  verb: VerbContext,
  smtp: SecretRef,
  work: (server: Transporter) => Promise<T>,
): Promise<T> {
  const url = mailServer(await verb.secret(smtp));
  // Loaded here, since few plans send mail, and every worker would pay for it at its start.
  const { createTransport } = await import('nodemailer');
  const server = createTransport({
    url,
    // A password never travels in the clear, unless the address says `requireTLS=false`.
    requireTLS: new URL(url).username !== '' && new URL(url).searchParams.get('requireTLS') !== 'false',
    connectionTimeout: ANSWERS_WITHIN_MS,
    greetingTimeout: ANSWERS_WITHIN_MS,
    socketTimeout: ANSWERS_WITHIN_MS,
  });
  try {
    return await work(server);
  } catch (error) {
    throw described(error);
  } finally {
    server.close();
  }
}

function mailServer(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && ['smtp:', 'smtps:'].includes(url.protocol) && url.hostname !== '') return text;
  throw permanent(
    'MAIL_BAD_URL',
    'the address of the mail server is not a URL of SMTP',
    'Write smtp://user:password@host:587 or smtps://user:password@host:465, with reserved characters of the password as %XX.',
  );
}

function described(error: unknown): HoldfastError {
  const { responseCode, command } = answerIn(error);
  if (responseCode === undefined) {
    return transient(
      'MAIL_UNREACHABLE',
      `the mail server could not be reached, or does not do what its address asks for (${reasonOf(error)})`,
      'Check its address and port, its certificate, and the network between the worker and it.',
    );
  }
  return (responseCode >= 500 ? permanent : transient)(
    'MAIL_REFUSED',
    `the mail server answered ${responseCode} to ${command ?? 'the message'}`,
    'Check user and password, whether it has TLS (STARTTLS), whether it lets this sender send, and whether it takes these recipients.',
  );
}

/** What nodemailer's errors say of the server's answer. */
function answerIn(error: unknown): { readonly responseCode?: number; readonly command?: string } {
  if (typeof error !== 'object' || error === null) return {};
  const { responseCode, command } = error as { readonly responseCode?: unknown; readonly command?: unknown };
  return {
    ...(typeof responseCode === 'number' ? { responseCode } : {}),
    ...(typeof command === 'string' ? { command } : {}),
  };
}
