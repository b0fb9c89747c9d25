import { createHmac } from 'node:crypto';
import { permanent } from '../model/errors.ts';

const PREFIX = 'whsec_';
/** The lengths of a key that the specification allows, bytes. */
const SHORTEST_KEY = 24;
const LONGEST_KEY = 64;

/**
 * The headers that sign a message, by Standard Webhooks (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md):
 * HMAC-SHA256 over `id.timestamp.body`.
 *
 * @param secret one key as `whsec_` and base64, or several with white space between them, of which each signs: so a key can be exchanged
 * @param nowMs milliseconds since 1970
 * @throws HoldfastError `WEBHOOK_BAD_SECRET` (permanent), without the key
 */
export function signatureHeaders(
  secret: string,
  messageId: string,
  nowMs: number,
  body: string,
): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(nowMs / 1000));
  const signatures = secret
    .trim()
    .split(/\s+/)
    .map((key) => {
      const hmac = createHmac('sha256', keyOf(key));
      return `v1,${hmac.update(`${messageId}.${timestamp}.${body}`).digest('base64')}`;
    });
  return { 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') };
}

function keyOf(secret: string): Buffer {
  const text = secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : secret;
  const key = Buffer.from(text, 'base64');
  const isBase64 = key.toString('base64').replace(/=+$/, '') === text.replace(/=+$/, '');
  if (isBase64 && key.length >= SHORTEST_KEY && key.length <= LONGEST_KEY) return key;
  throw permanent(
    'WEBHOOK_BAD_SECRET',
    `the key that signs webhooks is not ${SHORTEST_KEY} to ${LONGEST_KEY} bytes in base64`,
    'Make one: echo "whsec_$(openssl rand -base64 32)". Give the same text to the receiver.',
  );
}
