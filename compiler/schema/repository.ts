import { z } from 'zod';
import { readAgeRecipient } from '../age-recipient.ts';
import { readAbsolutePath, readBucket, readPrefix, readWebAddress } from '../names.ts';
import { readPublicKey } from '../public-key.ts';
import {
  alsoCheck,
  apiVersion,
  type Fault,
  metadata,
  oneOf,
  reading,
  secretReference,
  text,
  wrongValue,
} from './parts.ts';

const credentials = z
  .strictObject({
    accessKeyId: secretReference('Access key.'),
    secretAccessKey: secretReference('Secret key.'),
    sessionToken: secretReference('Session token of temporary credentials.').optional(),
  })
  .meta({
    description:
      "Credentials by reference. Left out, the AWS SDK's own chain: environment, profile, container, instance.",
    examples: [{ accessKeyId: { env: 'S3_KEY' }, secretAccessKey: { env: 'S3_SECRET' } }],
  });

const pruneCredentials = z.strictObject(credentials.shape).meta({
  description:
    'With which `prune` deletes, so that the credentials of backups need no right to delete. Left out, the same as `credentials`. See docs/retention.md for a policy of each.',
  examples: [{ accessKeyId: { env: 'S3_PRUNE_KEY' }, secretAccessKey: { env: 'S3_PRUNE_SECRET' } }],
});

const objectLock = z
  .strictObject({
    mode: z
      .enum(['governance', 'compliance'])
      .prefault('governance')
      .meta({
        description:
          'Who may lift the lock before its time: accounts with a special permission, or nobody at all.',
        examples: ['governance'],
      }),
    days: z
      .int()
      .min(1)
      .max(36_500)
      .meta({ description: 'Days from when the object is written.', examples: [30] }),
  })
  .meta({
    description:
      'Locks every object of a backup as it is written, so that nobody deletes it early, whatever the retention. The bucket must have been made with object lock; it is versioned then, see docs/retention.md.',
    examples: [{ mode: 'compliance', days: 30 }],
  });

const serverSideEncryption = z
  .strictObject({
    algorithm: z.enum(['AES256', 'aws:kms']).meta({
      description: 'Who keeps the key: S3 itself, or the key management service.',
      examples: ['aws:kms'],
    }),
    kmsKeyId: text(
      'Key of the key management service; left out, the default one of the account.',
      'alias/backups',
    )
      .regex(/^\S+$/)
      .optional(),
  })
  .check(
    alsoCheck(({ algorithm, kmsKeyId }) => {
      if (kmsKeyId === undefined || algorithm === 'aws:kms') return undefined;
      const message = 'A key was given, and only `algorithm: aws:kms` uses one';
      const remedy = 'Write `algorithm: aws:kms`, or remove `kmsKeyId`.';
      return wrongValue('kmsKeyId', message, remedy);
    }),
  )
  .meta({ description: 'Encryption by the store.', examples: [{ algorithm: 'aws:kms' }] });

const s3 = z
  .strictObject({
    bucket: reading(readBucket, {
      description: 'Bucket; it must exist.',
      minLength: 3,
      maxLength: 63,
      examples: ['acme-backups'],
    }),
    prefix: reading(readPrefix, {
      description: 'Objects stand below this part of the key; left out, at the top of the bucket.',
      examples: ['yugabyte'],
    }).optional(),
    region: text('Region of the bucket; left out, as the AWS SDK finds it.', 'eu-west-1')
      .regex(/^[a-z0-9-]{1,63}$/)
      .optional(),
    endpoint: reading(readWebAddress, {
      description: 'Address of an S3 store other than AWS.',
      pattern: '^https?://',
      examples: ['https://minio.example.com:9000'],
    }).optional(),
    pathStyle: z
      .boolean()
      .optional()
      .meta({
        description:
          'Address objects as `endpoint/bucket/key`, as most stores other than AWS need it. Default: true where `endpoint` is given.',
        examples: [true],
      }),
    storageClass: z
      .enum(['STANDARD', 'STANDARD_IA', 'ONEZONE_IA', 'INTELLIGENT_TIERING', 'GLACIER_IR'])
      .optional()
      .meta({
        description:
          'Storage class of the objects. Classes that must be thawed before they can be read are refused: a backup must be readable at once to be verified and restored.',
        examples: ['STANDARD_IA'],
      }),
    sse: serverSideEncryption.optional(),
    credentials: credentials.optional(),
    pruneCredentials: pruneCredentials.optional(),
    objectLock: objectLock.optional(),
  })
  .meta({
    description: 'A bucket of S3 or of a store that speaks it.',
    examples: [{ bucket: 'acme-backups' }],
  });

const gcs = z
  .strictObject({
    bucket: reading(readBucket, {
      description: 'Bucket; it must exist.',
      minLength: 3,
      maxLength: 63,
      examples: ['acme-backups'],
    }),
    prefix: s3.shape.prefix,
    endpoint: reading(readWebAddress, {
      description:
        'Address of a private endpoint or of an emulator. To one of `http:` no credentials are sent.',
      pattern: '^https?://',
      examples: ['http://127.0.0.1:4443'],
    }).optional(),
    storageClass: z
      .enum(['STANDARD', 'NEARLINE', 'COLDLINE', 'ARCHIVE'])
      .optional()
      .meta({
        description:
          "Storage class of the objects; left out, the bucket's own. All can be read at once; the colder ones cost more to read and to delete early.",
        examples: ['NEARLINE'],
      }),
    credentials: secretReference(
      "The JSON file that Google made: a service account's key, or the configuration of a workload identity pool. Left out, Google's own chain: GOOGLE_APPLICATION_CREDENTIALS, `gcloud`, the instance's service account.",
    ).optional(),
  })
  .check(
    alsoCheck(({ endpoint, credentials: key }) => {
      if (key === undefined || typeof endpoint !== 'string' || !endpoint.startsWith('http:'))
        return undefined;
      const message = 'Credentials would travel in clear to an address of `http:`';
      const remedy = 'Write `https:`, or remove `credentials`: an emulator needs none.';
      return wrongValue('credentials', message, remedy);
    }),
  )
  .meta({
    description: 'A bucket of Google Cloud Storage. Needs the package google-auth-library beside Holdfast.',
    examples: [{ bucket: 'acme-backups' }],
  });

const directory = reading(readAbsolutePath, {
  description: 'Absolute path of a directory that every worker sees under this path, such as an NFS mount.',
  pattern: '^/',
  examples: ['/mnt/backups'],
});

const groupAccess = z.enum(['read', 'write']).meta({
  description:
    'What the group of a `directory` may do with the folders and files that are made there: `read`, for whoever copies or restores them, or `write`, for workers that run as several users of one group. Left out, the user that runs the worker is alone: folders 0700, files 0600.',
  examples: ['write'],
});

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
        directory: directory.optional(),
        groupAccess: groupAccess.optional(),
        encryption: encryption.optional(),
        signing: signing.optional(),
        deletion: deletion.optional(),
        shareRows: shareRows.optional(),
      },
      ['s3', 'gcs', 'directory'],
    )
      .check(
        alsoCheck(({ groupAccess: access, directory: path, s3: bucket, gcs: other }) => {
          if (access === undefined || path !== undefined || (bucket ?? other) === undefined) return undefined;
          const message = 'A bucket has no groups: `groupAccess` belongs to a `directory`';
          const remedy = 'Remove `groupAccess`; who may read the bucket is for its policy to say.';
          return wrongValue('groupAccess', message, remedy);
        }),
      )
      .meta({
        description: 'Where it is: one of `s3`, `gcs` and `directory`.',
        examples: [{ directory: '/mnt/backups' }],
      }),
  })
  .meta({ title: 'Repository', description: 'A place where backups live.' });

export type RepositoryDocument = z.output<typeof repositoryDocument>;
export type SecretReference = z.output<typeof credentials>['accessKeyId'];
