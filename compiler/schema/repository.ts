import { z } from 'zod';
import { readAgeRecipient } from '../age-recipient.ts';
import { readPublicKey } from '../public-key.ts';
import {
  alsoCheck,
  apiVersion,
  type Fault,
  metadata,
  oneOf,
  reading,
  secretReference,
  wrongValue,
} from './parts.ts';
import { azure, directory, gcs, groupAccess, s3 } from './places.ts';

const encryption = z
  .strictObject({
    recipients: z
      .array(
        reading(readAgeRecipient, {
          description: 'Recipient of age, as `age-keygen` prints it; public.',
          pattern: '^age1',
          examples: ['age1…'],
        }),
      )
      .min(1)
      .max(100)
      .meta({
        description:
          'Whoever may restore. Have at least two, held by two people or in two places: without an identity of one of them nothing can be restored, by nobody.',
        examples: [['age1…']],
      }),
    identity: secretReference(
      'Identity file of one of the recipients. It opens everything, so it belongs only on workers that restore, drill or verify contents; on others it may be absent.',
    ).optional(),
    metadataIdentity: secretReference(
      'Identity file that opens manifests, lists and names, and no data; of nobody among the recipients. On every worker: with it alone a worker makes backups, prunes, and verifies checksums. Left out, every worker needs `identity`.',
    ).optional(),
  })
  .check(
    alsoCheck(({ recipients, identity, metadataIdentity }) => {
      const faults: Fault[] = [];
      if (identity === undefined && metadataIdentity === undefined) {
        const message =
          'No worker could read the repository: neither `identity` nor `metadataIdentity` is given';
        const remedy = 'Add `metadataIdentity: { file: … }` for all workers, made by `age-keygen`.';
        faults.push({ params: { problem: { code: 'MISSING_KEY', message, remedy } } });
      }
      const list: readonly unknown[] = Array.isArray(recipients) ? recipients : [];
      for (const [index, recipient] of list.entries()) {
        if (list.indexOf(recipient) === index) continue;
        const message = 'This recipient stands in the list already';
        const remedy = 'Remove it, or write the one that was meant.';
        const problem = { code: 'WRONG_VALUE', message, remedy } as const;
        faults.push({ params: { problem }, path: ['recipients', index] });
      }
      return faults;
    }),
  )
  .meta({
    description:
      'Encrypts everything on the worker, before it reaches the repository; a clear repository stays clear, so this is for a new one. See docs/encryption.md.',
    examples: [
      {
        recipients: ['age1…'],
        identity: { file: '/etc/holdfast/identity' },
        metadataIdentity: { file: '/etc/holdfast/metadata-identity' },
      },
    ],
  });

const signing = z
  .strictObject({
    key: secretReference(
      'Key file of OpenSSH with an Ed25519 key and no passphrase. On every worker that makes backups or prunes; those that only restore do without it.',
    ).optional(),
    trusted: z
      .array(
        reading(readPublicKey, {
          description: 'Public key as `holdfast keys signing`, or `ssh-keygen -t ed25519`, prints it.',
          pattern: '^ssh-ed25519 ',
          examples: ['ssh-ed25519 AAAA… backup-1'],
        }),
      )
      .min(1)
      .max(100)
      .meta({
        description:
          'Whose signatures count. What none of these keys signed is not restored, not drilled and not found good.',
        examples: [['ssh-ed25519 AAAA… backup-1']],
      }),
  })
  .meta({
    description:
      'Signs what decides which SQL is run, so that whoever can write into the repository can’t have a restore or a drill run his. See docs/signing.md.',
    examples: [{ key: { file: '/etc/holdfast/signing-key' }, trusted: ['ssh-ed25519 AAAA… backup-1'] }],
  });

const deletion = z
  .strictObject({
    approvers: z
      .array(
        reading(readPublicKey, {
          description:
            'Public key of one person, as `holdfast keys signing`, or `ssh-keygen -t ed25519`, prints it.',
          pattern: '^ssh-ed25519 ',
          examples: ['ssh-ed25519 AAAA… alice'],
        }),
      )
      .min(2)
      .max(100)
      .meta({
        description:
          'People who may ask for a deletion, or approve that of another. Each has a key of his own.',
        examples: [['ssh-ed25519 AAAA… alice', 'ssh-ed25519 AAAA… bob']],
      }),
    approvals: z
      .int()
      .min(1)
      .max(20)
      .prefault(1)
      .meta({ description: 'How many others must approve; who asks never counts.', examples: [2] }),
    atOnce: z
      .int()
      .min(1)
      .optional()
      .meta({
        description:
          'The most backups of a plan that retention drops by itself in one prune. Would it be more, as after a mistake in `retention`, it drops none until a person asks and others approve (`holdfast delete --dropped`). Left out, retention asks nobody.',
        examples: [20],
      }),
  })
  .check(
    alsoCheck(({ approvers, approvals }) => {
      const lines: readonly unknown[] = Array.isArray(approvers) ? approvers : [];
      const keys = new Set(lines.map((line) => String(line).trim().split(/\s+/)[1]));
      const needed = typeof approvals === 'number' ? approvals : 1;
      if (keys.size > needed) return undefined;
      const message = `With ${needed} approvals ${needed + 1} people are needed, and ${keys.size} different keys are here`;
      const remedy = 'Add keys of other people, or ask for fewer approvals.';
      return wrongValue('approvers', message, remedy);
    }),
  )
  .meta({
    description:
      'Who may have a backup deleted before its time (`holdfast delete`): one asks, others approve, each by a key of his own. Left out, nobody may. See docs/retention.md.',
    examples: [{ approvers: ['ssh-ed25519 AAAA… alice', 'ssh-ed25519 AAAA… bob'] }],
  });

const shareRows = z.boolean().meta({
  description:
    'True: rows of `ysql` that the repository has already are not stored again, whichever backup or plan stored them. Such backups need this version of Holdfast or a newer one. See docs/repository-format.md, Shared rows.',
  examples: [true],
});

export const repositoryDocument = z
  .strictObject({
    apiVersion,
    kind: z
      .literal('Repository')
      .meta({ description: 'A place where backups live.', examples: ['Repository'] }),
    metadata: metadata('main'),
    spec: oneOf(
      {
        s3: s3.optional(),
        gcs: gcs.optional(),
        azure: azure.optional(),
        directory: directory.optional(),
        groupAccess: groupAccess.optional(),
        encryption: encryption.optional(),
        signing: signing.optional(),
        deletion: deletion.optional(),
        shareRows: shareRows.optional(),
      },
      ['s3', 'gcs', 'azure', 'directory'],
    )
      .check(
        alsoCheck(({ groupAccess: access, directory: path, s3: bucket, gcs, azure }) => {
          if (access === undefined || path !== undefined || (bucket ?? gcs ?? azure) === undefined)
            return undefined;
          const message = 'A bucket has no groups: `groupAccess` belongs to a `directory`';
          const remedy = 'Remove `groupAccess`; who may read the bucket is for its policy to say.';
          return wrongValue('groupAccess', message, remedy);
        }),
      )
      .meta({
        description: 'Where it is: one of `s3`, `gcs`, `azure` and `directory`.',
        examples: [{ directory: '/mnt/backups' }],
      }),
  })
  .meta({ title: 'Repository', description: 'A place where backups live.' });

export type RepositoryDocument = z.output<typeof repositoryDocument>;
