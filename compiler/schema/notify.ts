import { z } from 'zod';
import { EVENT_GROUPS, EVENT_NAMES } from '../../model/notification.ts';
import type { Problem } from '../diagnostic.ts';
import { MAIL_ADDRESS_PATTERN, readMailAddress } from '../names.ts';
import { alsoCheck, oneOf, reading, secretReference } from './parts.ts';

/** What is asked for where a receiver names no event. */
export const USUAL_EVENTS = ['failure', 'refused', 'drill'] as const;

const mailAddress = (description: string, example: string) =>
  reading(readMailAddress, { description, pattern: MAIL_ADDRESS_PATTERN, examples: [example] });

const email = z
  .strictObject({
    to: z
      .array(mailAddress('A recipient.', 'oncall@example.com'))
      .min(1)
      .max(20)
      .meta({ description: 'Recipients, all in one message.', examples: [['oncall@example.com']] }),
    from: mailAddress('The sender.', 'holdfast@example.com'),
    smtp: secretReference(
      'Mail server: `smtps://user:password@host:465`, or `smtp://…:587`, which turns to TLS before it logs in.',
    ),
  })
  .meta({
    description: 'An e-mail in plain text.',
    examples: [{ to: ['oncall@example.com'], from: 'holdfast@example.com', smtp: { env: 'SMTP_URL' } }],
  });

const KINDS = ['webhook', 'slack', 'email', 'ping'] as const;

/** Keys that only some kinds of receivers have. */
const ONLY_OF: Readonly<Record<string, readonly (typeof KINDS)[number][]>> = {
  format: ['webhook'],
  secret: ['webhook'],
  reach: ['webhook', 'slack', 'ping'],
  on: ['webhook', 'slack', 'email'],
};

/** @param usual what is reached where the key is left out */
export const reachOf = (usual: string) =>
  z.enum(['public', 'private', 'loopback']).meta({
    description: `How near the receiver may be: \`public\` addresses alone; \`private\` networks too; \`loopback\`, the worker's own host, too. Left out, \`${usual}\`. Link-local addresses and cloud metadata are never called.`,
    examples: ['private'],
  });

const target = oneOf(
  {
    webhook: secretReference('Address that gets a JSON document by POST.').optional(),
    slack: secretReference('Address of a Slack incoming webhook.').optional(),
    email: email.optional(),
    ping: secretReference(
      'Dead-man’s switch in the manner of healthchecks.io: its address gets a POST when a backup succeeds, with `/start` behind it when one starts, with `/fail` when one fails or is cancelled.',
    ).optional(),
    on: z
      .array(z.enum([...EVENT_GROUPS, 'problems', 'all', ...EVENT_NAMES]))
      .min(1)
      .optional()
      .meta({
        description:
          '`success` and `failure` of backups (and failures of exports and of the archive of changes), `refused` requests, the verdict of each `drill`, or events by their names (docs/events.md); `problems`, after which somebody should look; or `all`. Not of a `ping`. Left out, `[failure, refused, drill]`.',
        examples: [['failure', 'drill']],
      }),
    format: z
      .literal('cloudevents')
      .optional()
      .meta({
        description: 'Of a `webhook`: the body is a CloudEvent (1.0, structured JSON) around that document.',
        examples: ['cloudevents'],
      }),
    secret: secretReference(
      'Of a `webhook`: the key that signs each message by Standard Webhooks, as `whsec_` and base64; several with spaces between them while a key is exchanged.',
    ).optional(),
    reach: reachOf('private').optional(),
  },
  KINDS,
)
  .check(
    alsoCheck((mapping) => {
      const kind = KINDS.find((key) => mapping[key] !== undefined);
      return Object.entries(ONLY_OF).flatMap(([key, kinds]) =>
        kind === undefined || mapping[key] === undefined || kinds.includes(kind)
          ? []
          : [{ params: { problem: misplaced(key, kind, kinds) }, path: [key] }],
      );
    }),
  )
  .meta({ description: 'One place to tell.', examples: [{ slack: { env: 'SLACK_WEBHOOK_URL' } }] });

function misplaced(key: string, kind: string, kinds: readonly string[]): Problem {
  return {
    code: 'MISPLACED_KEY',
    message: `\`${key}\` means nothing beside \`${kind}\``,
    remedy: `Leave it out. It belongs to ${kinds.map((each) => `\`${each}\``).join(', ')}.`,
  };
}

export const notify = z
  .array(target)
  .min(1)
  .max(10)
  .meta({
    description:
      'Whom to tell what happened. Tried for an hour each, beside the run: it never delays or fails a backup.',
    examples: [[{ slack: { env: 'SLACK_WEBHOOK_URL' }, on: ['failure', 'drill'] }]],
  });
