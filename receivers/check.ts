import { connect } from 'node:net';
import type { VerbContext } from '../engines/engine.ts';
import { type Check, check } from '../model/check.ts';
import { HoldfastError, transient } from '../model/errors.ts';
import type { NotifyTarget, Reach } from '../model/notification.ts';
import type { SecretRef } from '../model/source.ts';
import { reasonOf, webAddress } from './http.ts';
import { checkMailServer } from './mail.ts';
import { checkHost, lookupWithin } from './reach.ts';
import { signatureHeaders } from './standard-webhooks.ts';

const ANSWERS_WITHIN_MS = 10_000;

/**
 * Checks whether this process reaches the receivers of a plan's notifications: connects to each, logs in at a mail server, tries the key
 * that signs, and sends no event.
 */
export async function checkReceivers(
  verb: VerbContext,
  targets: readonly NotifyTarget[] = [],
): Promise<readonly Check[]> {
  return Promise.all(
    targets.map((target) => {
      if (target.kind === 'email') {
        const { smtp, to } = target;
        return check(`notify: email (${named(smtp)})`, async () => {
          await checkMailServer(verb, smtp);
          return `the mail server lets this worker in; mail goes to ${to.join(', ')}`;
        });
      }
      const { kind, url, reach = 'loopback' } = target;
      return check(`notify: ${kind} (${named(url)})`, async () => {
        await connectTo(webAddress(await verb.secret(url)), reach, verb.signal);
        if (kind === 'webhook' && target.secret !== undefined)
          signatureHeaders(await verb.secret(target.secret), 'doctor', Date.now(), '');
        return 'can be reached; nothing was sent';
      });
    }),
  );
}

const named = (secret: SecretRef): string => ('env' in secret ? `$${secret.env}` : secret.file);

async function connectTo(
  { protocol, hostname, port }: URL,
  reach: Reach,
  signal: AbortSignal,
): Promise<void> {
  checkHost(hostname, reach);
  const socket = connect({
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(port || (protocol === 'https:' ? 443 : 80)),
    lookup: lookupWithin(reach),
    signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWERS_WITHIN_MS)]),
  });
  try {
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  } catch (error) {
    if (error instanceof HoldfastError) throw error;
    throw transient(
      'WEBHOOK_UNREACHABLE',
      `the webhook could not be reached (${reasonOf(error)})`,
      'Check the address and the network between the worker and it.',
    );
  } finally {
    socket.destroy();
  }
}
