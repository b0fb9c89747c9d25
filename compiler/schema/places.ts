import { z } from 'zod';
import { readAbsolutePath, readBucket, readPrefix, readWebAddress } from '../names.ts';
import { alsoCheck, memberOf, oneOf, reading, secretReference, text, wrongValue } from './parts.ts';

/* Where a repository may be: a bucket of one of three services, or a directory. */

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

export const s3 = z
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

export const gcs = z
  .strictObject({
    bucket: s3.shape.bucket,
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

const azureCredentials = oneOf(
  {
    accountKey: secretReference('Key of the storage account, which may do everything with it.').optional(),
    sasToken: secretReference(
      'Shared access signature of the container or the account, with the permissions to read, write, delete and list (`rwdl`).',
    ).optional(),
  },
  ['accountKey', 'sasToken'],
);

export const azure = z
  .strictObject({
    account: text('Storage account, without a hierarchical namespace.', 'acmebackups').regex(
      /^[a-z0-9]{3,24}$/,
    ),
    container: text('Container; it must exist.', 'backups').regex(/^(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*$/),
    prefix: s3.shape.prefix,
    endpoint: reading(readWebAddress, {
      description:
        'Address of the account’s blob service in another cloud, of a private endpoint or of an emulator. Left out, `https://ACCOUNT.blob.core.windows.net`.',
      pattern: '^https?://',
      examples: ['http://127.0.0.1:10000/devstoreaccount1'],
    }).optional(),
    accessTier: z
      .enum(['Hot', 'Cool', 'Cold'])
      .optional()
      .meta({
        description:
          "Access tier of the objects; left out, the account's own. All can be read at once; the colder ones cost more to read and to delete early. `Archive` is refused: a backup must be readable at once.",
        examples: ['Cool'],
      }),
    credentials: azureCredentials.optional().meta({
      description:
        "By what a worker proves who it is. Left out, Microsoft's own chain of identities: environment, workload identity, managed identity, `az login`. It needs the package @azure/identity beside Holdfast.",
      examples: [{ sasToken: { env: 'AZURE_SAS' } }],
    }),
    pruneCredentials: azureCredentials.optional().meta({
      description:
        'With which `prune` deletes, so that the credentials of backups need no right to delete. Left out, the same as `credentials`.',
      examples: [{ sasToken: { env: 'AZURE_PRUNE_SAS' } }],
    }),
  })
  .check(
    alsoCheck(({ endpoint, credentials: key, pruneCredentials: pruning }) => {
      if (typeof endpoint !== 'string' || !endpoint.startsWith('http:')) return undefined;
      const others = [key, pruning ?? key].some((each) => memberOf(each, 'accountKey') === undefined);
      if (!others) return undefined;
      const message = 'A signature or a token would travel in clear to an address of `http:`';
      const remedy = 'Write `https:`, or give `accountKey` under `credentials`: a key itself is never sent.';
      return wrongValue('endpoint', message, remedy);
    }),
  )
  .meta({
    description: 'A container of Azure Blob Storage.',
    examples: [{ account: 'acmebackups', container: 'backups' }],
  });

export const directory = reading(readAbsolutePath, {
  description: 'Absolute path of a directory that every worker sees under this path, such as an NFS mount.',
  pattern: '^/',
  examples: ['/mnt/backups'],
});

export const groupAccess = z.enum(['read', 'write']).meta({
  description:
    'What the group of a `directory` may do with the folders and files that are made there: `read`, for whoever copies or restores them, or `write`, for workers that run as several users of one group. Left out, the user that runs the worker is alone: folders 0700, files 0600.',
  examples: ['write'],
});

export type SecretReference = z.output<typeof credentials>['accessKeyId'];
