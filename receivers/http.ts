import * as http from 'node:http';
import * as https from 'node:https';
import type { VerbContext } from '../engines/engine.ts';
import { HoldfastError, permanent, transient } from '../model/errors.ts';
import type { HttpRequest } from '../model/http-request.ts';
import { checkHost, lookupWithin } from './reach.ts';
import { signatureHeaders } from './standard-webhooks.ts';

const ANSWERS_WITHIN_MS = 30_000;
/** An answer says what it has to say by its status. This much of the rest is read, so that its sender can end in order. */
const READ_AT_MOST_BYTES = 64 * 1024;

/**
 * Calls a webhook. 2xx counts as success; redirects are not followed. Throws `WEBHOOK_REFUSED` (transient for 408, 425, 429 and 5xx),
 * `WEBHOOK_UNREACHABLE` (transient), `WEBHOOK_BAD_URL`, `WEBHOOK_BAD_SECRET`, `WEBHOOK_ADDRESS_REFUSED` (permanent). The address may hold a
 * token, so no message repeats it.
 *
 * @param body text, or what is sent as JSON
 */
export async function callWebhook(
  verb: VerbContext,
  request: HttpRequest,
  body: Readonly<Record<string, unknown>> | string,
): Promise<{ status: number }> {
  const { reach = 'loopback' } = request;
  const url = webAddress('literal' in request.url ? request.url.literal : await verb.secret(request.url));
  if (request.suffix !== undefined) url.pathname = url.pathname.replace(/\/$/, '') + request.suffix;
  checkHost(url.hostname, reach);
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const late = AbortSignal.timeout(ANSWERS_WITHIN_MS);
  const options: http.RequestOptions = {
    method: request.method,
    headers: request.method === 'GET' ? {} : await headersOf(verb, request, text),
    // A connection of its own, to an address that was judged.
    agent: false,
    lookup: lookupWithin(reach),
    signal: AbortSignal.any([verb.signal, late]),
  };
  let answer: http.IncomingMessage;
  try {
    answer = await send(url, options, request.method === 'GET' ? '' : text);
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    throw transient(
      'WEBHOOK_UNREACHABLE',
      `the webhook could not be reached (${late.aborted ? 'no answer within 30 s' : reasonOf(error)})`,
      'Check the address and the network between the worker and it.',
    );
  }
  await readSome(answer);
  return judge(answer);
}

/** Reads the address of a webhook. Throws `WEBHOOK_BAD_URL` (permanent). */
export function webAddress(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && ['http:', 'https:'].includes(url.protocol)) return url;
  throw permanent('WEBHOOK_BAD_URL', 'the webhook address is not a URL', 'Write an http(s):// address.');
}

async function headersOf(
  verb: VerbContext,
  { contentType = 'application/json', messageId, secret }: HttpRequest,
  body: string,
): Promise<http.OutgoingHttpHeaders> {
  return {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'user-agent': 'holdfast',
    ...(messageId === undefined ? {} : { 'webhook-id': messageId }),
    ...(messageId === undefined || secret === undefined
      ? {}
      : signatureHeaders(await verb.secret(secret), messageId, Date.now(), body)),
  };
}

function send(url: URL, options: http.RequestOptions, body: string): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = url.protocol === 'https:' ? https.request(url, options) : http.request(url, options);
    request.once('response', resolve).once('error', reject).end(body);
  });
}

async function readSome(answer: http.IncomingMessage): Promise<void> {
  let bytes = 0;
  try {
    for await (const chunk of answer) {
      bytes += chunk.length;
      if (bytes > READ_AT_MOST_BYTES) return;
    }
  } catch {
    // The status was received. How the rest of the answer ends says nothing more.
  }
}

function judge({ statusCode = 0, statusMessage = '' }: http.IncomingMessage): { status: number } {
  if (statusCode >= 200 && statusCode < 300) return { status: statusCode };
  const passing = statusCode >= 500 || [408, 425, 429].includes(statusCode);
  throw (passing ? transient : permanent)(
    'WEBHOOK_REFUSED',
    `the webhook answered ${statusCode} ${statusMessage}`,
    statusCode >= 300 && statusCode < 400
      ? 'Name the address that it redirects to: redirects are not followed.'
      : 'Check what it expects (docs/events.md; of a step http, docs/plan-language.md).',
  );
}

/** The code of the operating system or of TLS, since a message may hold the address. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return 'code' in error ? String(error.code) : error.name;
}
