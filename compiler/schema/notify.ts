import { z } from 'zod';
import { oneOf, secretReference } from './parts.ts';

const target = oneOf(
  {
    webhook: secretReference('Address that gets a JSON document by POST.').optional(),
    slack: secretReference('Address of a Slack incoming webhook.').optional(),
    on: z
      .array(z.enum(['success', 'failure', 'refused', 'drill']))
      .min(1)
      .prefault(['failure', 'refused', 'drill'])
      .meta({
        description:
          '`success` and `failure` of backups, `refused` requests, and the verdict of each `drill`.',
        examples: [['failure', 'drill']],
      }),
  },
  ['webhook', 'slack'],
).meta({ description: 'One place to tell.', examples: [{ slack: { env: 'SLACK_WEBHOOK_URL' } }] });

export const notify = z
  .array(target)
  .min(1)
  .max(10)
  .meta({
    description:
      'Whom to tell what happened. Tried for an hour each, beside the run: it never delays or fails a backup.',
    examples: [[{ slack: { env: 'SLACK_WEBHOOK_URL' }, on: ['failure', 'drill'] }]],
  });
