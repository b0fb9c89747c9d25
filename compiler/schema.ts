import { z } from 'zod';
import type { VerifyLevel } from '../model/pipeline.ts';
import { readCron } from './cron.ts';
import type { Problem, Reading } from './diagnostic.ts';
import { DURATION_PATTERN, formatDuration, readDuration } from './duration.ts';
import {
  ENVIRONMENT_NAME_PATTERN,
  NAME_PATTERN,
  readAbsolutePath,
  readBucket,
  readEnvironmentName,
  readName,
  readPrefix,
  readWebAddress,
} from './names.ts';
import { readDatabasePattern, readTablePattern, shadowed } from './patterns.ts';
import { readSize, SIZE_PATTERN } from './size.ts';
import { readTimezone } from './timezone.ts';
import { VERB_NAMES, VERBS, type VerbSignature } from './verbs.ts';

/*
 * The one definition of the plan language: types, errors, the JSON Schema for editors and the reference in
 * docs/plan-language.md come from here. Every key has a description and an example; the examples also appear in remedies.
 */

/** Text that a reader turns into a value, or refuses with what is wrong and what to write. */
function reading<T>(read: (text: string) => Reading<T>, meta: z.GlobalMeta) {
  return z
    .string()
    .transform((text, context) => {
      const result = read(text);
      if ('value' in result) return result.value;
      const { problem } = result;
      context.addIssue({ code: 'custom', message: problem.message, params: { problem } });
      return z.NEVER;
    })
    .meta(meta);
}

/** What a check of a whole mapping finds; `params` are what `validate.ts` makes a problem of. */
interface Fault {
  readonly params:
    | { readonly problem: Problem }
    | { readonly choices: readonly string[]; readonly chosen: readonly string[] };
  readonly path?: (string | number)[];
}

/** A check that runs even where the mapping has other faults, so that one run shows them all. */
function alsoCheck(
  check: (mapping: Readonly<Record<string, unknown>>) => Fault | readonly Fault[] | undefined,
) {
  return z.superRefine<unknown>(
    (value, context) => {
      if (typeof value !== 'object' || value === null) return;
      for (const fault of [check(Object.fromEntries(Object.entries(value))) ?? []].flat()) {
        context.addIssue({ code: 'custom', continue: true, ...fault });
      }
    },
    { when: () => true },
  );
}

/** A mapping of which exactly one key is to be chosen. */
function oneOf<Shape extends z.ZodRawShape>(shape: Shape, choices: readonly (keyof Shape & string)[]) {
  return z
    .strictObject(shape)
    .check(
      alsoCheck((mapping) => {
        const chosen = choices.filter((key) => mapping[key] !== undefined);
        if (chosen.length === 1) return undefined;
        return { params: { choices, chosen } };
      }),
    )
    .meta({ oneOf: choices.map((key) => ({ required: [key] })) });
}

const duration = (description: string, example: string) =>
  reading(readDuration, { description, pattern: DURATION_PATTERN, examples: [example] });

const text = (description: string, example: string) =>
  z
    .string()
    .min(1)
    .meta({ description, examples: [example] });

const name = (description: string, example: string) =>
  reading(readName, { description, pattern: NAME_PATTERN, examples: [example] });

const environmentName = reading(readEnvironmentName, {
  description: 'Name of an environment variable of the worker.',
  pattern: ENVIRONMENT_NAME_PATTERN,
  examples: ['ORDERS_DATABASE_URL'],
});

const secretFile = reading(readAbsolutePath, {
  description:
    'Absolute path of a file on the worker; its content, without a line break at the end, is the value.',
  pattern: '^/',
  examples: ['/run/secrets/orders'],
});

const secretReference = (description: string) =>
  oneOf({ env: environmentName.optional(), file: secretFile.optional() }, ['env', 'file']).meta({
    description: `${description} By reference only: the value stays where the worker runs.`,
    examples: [{ env: 'NAME' }],
  });

const apiVersion = z.literal('holdfast/v1').meta({
  description: 'Version of the plan language.',
  examples: ['holdfast/v1'],
});

const labelText = z.string().max(63);

const metadata = (example: string) =>
  z
    .strictObject({
      name: name('Name, unique among the documents of its kind.', example),
      labels: z
        .record(labelText.min(1), labelText)
        .optional()
        .meta({
          description: 'Labels of your own, shown with the plan; at most 63 characters each.',
          examples: [{ team: 'payments' }],
        }),
      description: text('What it is for, in a sentence.', 'Orders, every night.').optional(),
    })
    .meta({ description: 'Who it is.', examples: [{ name: example }] });

// ---------------------------------------------------------------------------------------------------- Repository

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
      return { params: { problem: { code: 'WRONG_VALUE', message, remedy } }, path: ['kmsKeyId'] };
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
  })
  .meta({
    description: 'A bucket of S3 or of a store that speaks it.',
    examples: [{ bucket: 'acme-backups' }],
  });

const directory = reading(readAbsolutePath, {
  description: 'Absolute path of a directory that every worker sees under this path, such as an NFS mount.',
  pattern: '^/',
  examples: ['/mnt/backups'],
});

const repositoryDocument = z
  .strictObject({
    apiVersion,
    kind: z
      .literal('Repository')
      .meta({ description: 'A place where backups live.', examples: ['Repository'] }),
    metadata: metadata('main'),
    spec: oneOf({ s3: s3.optional(), directory: directory.optional() }, ['s3', 'directory']).meta({
      description: 'Where it is: one of `s3` and `directory`.',
      examples: [{ directory: '/mnt/backups' }],
    }),
  })
  .meta({ title: 'Repository', description: 'A place where backups live.' });

// -------------------------------------------------------------------------------------------------------- Source

const patterns = (read: (text: string) => Reading<string>, names: string, example: string) => {
  const list = (description: string) =>
    z
      .array(reading(read, { description: `A glob over ${names}.`, minLength: 1, examples: [example] }))
      .min(1)
      .meta({ description, examples: [[example]] });
  return z
    .strictObject({
      include: list('Only what matches one of these; left out, all.').optional(),
      exclude: list('Nothing that matches one of these; wins over `include`.').optional(),
    })
    .check(
      alsoCheck(({ include, exclude }) => {
        const excluded = textsOf(exclude).filter((pattern) => pattern !== undefined);
        return textsOf(include).flatMap((pattern, index): readonly Fault[] => {
          const problem = pattern === undefined ? undefined : shadowed(pattern, excluded);
          return problem === undefined ? [] : [{ params: { problem }, path: ['include', index] }];
        });
      }),
    );
};

/** Each item of a list in its place, as far as it is text. */
function textsOf(list: unknown): readonly (string | undefined)[] {
  return Array.isArray(list) ? list.map((item) => (typeof item === 'string' ? item : undefined)) : [];
}

const ysql = z
  .strictObject({
    connection: secretReference(
      'A `postgresql://` URL. Its database is the one that is backed up, unless `databases` says otherwise.',
    ),
    databases: patterns(readDatabasePattern, 'names of databases', 'orders_*')
      .optional()
      .meta({
        description: 'Several databases of the server. Globs: `*` is any run of characters, `?` any one.',
        examples: [{ include: ['orders', 'billing'] }],
      }),
    tables: patterns(readTablePattern, '`schema.table`', 'public.tmp_*')
      .prefault({})
      .meta({
        description:
          'Tables, as globs over `schema.table`: `*` is any run of characters, `?` any one. Partitions go with their parents.',
        examples: [{ exclude: ['public.tmp_*'] }],
      }),
    contents: z
      .enum(['all', 'schema', 'data'])
      .prefault('all')
      .meta({ description: 'Schema and rows, or one of the two.', examples: ['all'] }),
    globals: z
      .enum(['none', 'roles', 'roles-with-passwords'])
      .prefault('none')
      .meta({
        description:
          'Roles and tablespaces of the server. With passwords means their hashes, which only a superuser can read.',
        examples: ['roles'],
      }),
    chunkSize: reading((value) => readSize(value, '1MiB', '256MiB'), {
      description:
        'Target size of a chunk, in bytes of COPY text, from 1MiB to 256MiB. A worker holds one compressed chunk in memory for each lane.',
      pattern: SIZE_PATTERN,
      examples: ['64MiB'],
    }).prefault('64MiB'),
  })
  .meta({
    description: 'A YSQL (or PostgreSQL 15 and newer) server, read by SQL alone.',
    examples: [{ connection: { env: 'ORDERS_DATABASE_URL' } }],
  });

/** Sources that the design names and this version can't read; each becomes a key of `source` when it can. */
export const SOURCES_TO_COME: readonly string[] = ['ycql', 'universe'];

const source = oneOf({ ysql: ysql.optional() }, ['ysql']).meta({
  description: 'What is backed up, and by which engine.',
  examples: [{ ysql: { connection: { env: 'ORDERS_DATABASE_URL' } } }],
});

// -------------------------------------------------------------------------------------- Schedule and retention

const cronLine = reading(readCron, {
  description: 'Minute, hour, day of the month, month, day of the week; or `@hourly`, `@daily`, `@weekly` ….',
  minLength: 1,
  examples: ['0 2 * * *'],
});

const schedule = z
  .strictObject({
    cron: z.union([cronLine, z.array(cronLine).min(1)]).meta({
      description: 'One cron line, or a list of them. Five fields, or `@daily` and its like.',
      examples: ['0 2 * * *'],
    }),
    timezone: reading(readTimezone, {
      description: 'Time zone of the cron lines, by its IANA name.',
      minLength: 1,
      examples: ['Europe/Berlin'],
    }).prefault('UTC'),
    overlap: z
      .enum(['skip', 'buffer', 'cancel', 'allow'])
      .prefault('skip')
      .meta({
        description:
          'When a backup is due while the last one still runs: skip it, run it afterwards, cancel the running one, or run both.',
        examples: ['skip'],
      }),
  })
  .meta({ description: 'When backups start by themselves.', examples: [{ cron: '0 2 * * *' }] });

const keep = (description: string, example: number) =>
  z
    .int()
    .min(1)
    .max(100_000)
    .optional()
    .meta({ description, examples: [example] });

const retention = z
  .strictObject({
    keepLast: keep('The newest backups.', 3),
    keepHourly: keep('The newest backup of each of so many hours.', 24),
    keepDaily: keep('The newest backup of each of so many days.', 7),
    keepWeekly: keep('The newest backup of each of so many weeks.', 5),
    keepMonthly: keep('The newest backup of each of so many months.', 12),
    keepYearly: keep('The newest backup of each of so many years.', 3),
    keepWithin: duration('Every backup younger than this.', '3d').optional(),
  })
  .check(
    alsoCheck((rules) => {
      if (Object.values(rules).some((value) => value !== undefined)) return undefined;
      const message = 'A retention without rules does not say what is kept';
      const remedy = 'Write a rule, such as `keepDaily: 7`; or leave `retention` out to keep everything.';
      return { params: { problem: { code: 'MISSING_KEY', message, remedy } } };
    }),
  )
  .meta({
    description: 'Which backups are kept: those that any of the rules keeps. Left out, all of them.',
    examples: [{ keepLast: 3, keepDaily: 7 }],
  });

// --------------------------------------------------------------------------------------------------------- Steps

function settings({ defaults, mostLanes }: VerbSignature) {
  const retry = z
    .strictObject({
      maximumAttempts: z
        .int()
        .min(0)
        .max(1_000_000)
        .prefault(defaults.retry.maximumAttempts)
        .meta({ description: 'Tries in all; 0 means without limit, within the timeout.', examples: [20] }),
      initialInterval: duration('Wait before the second try.', '1s').prefault(defaults.retry.initialInterval),
      maximumInterval: duration('Longest wait between two tries.', '1m').prefault(
        defaults.retry.maximumInterval,
      ),
      backoffCoefficient: z
        .number()
        .min(1)
        .max(100)
        .prefault(2)
        .meta({ description: 'Each wait is so many times the one before it.', examples: [2] }),
    })
    .check(
      alsoCheck((policy) => {
        const { initialInterval, maximumInterval } = policy;
        if (typeof initialInterval !== 'number' || typeof maximumInterval !== 'number') return undefined;
        if (maximumInterval >= initialInterval) return undefined;
        const message = `\`maximumInterval\` (${formatDuration(maximumInterval)}) is shorter than \`initialInterval\` (${formatDuration(initialInterval)})`;
        const remedy = 'Write a longer `maximumInterval` or a shorter `initialInterval`.';
        return { params: { problem: { code: 'OUT_OF_RANGE', message, remedy } } };
      }),
    )
    .prefault({})
    .meta({
      description: 'What happens when an activity of the step fails in a way that may pass.',
      examples: [{ maximumAttempts: 20, maximumInterval: '1m' }],
    });
  return {
    retry,
    timeout: duration(
      'Longest time for the step, all its activities and their tries together.',
      '6h',
    ).prefault(defaults.timeout),
    parallelism: z
      .int()
      .min(1)
      .max(mostLanes)
      .prefault(defaults.parallelism)
      .meta({
        description:
          mostLanes === 1
            ? 'This verb is one activity, so 1.'
            : `How many activities of the step run at once, up to ${mostLanes}.`,
        examples: [defaults.parallelism],
      }),
  };
}

const verifyLevels = ['exists', 'checksums', 'content', 'restore'] as const satisfies readonly VerifyLevel[];

/** The options of each verb. Those of a verb without required options may be left out. */
const verbOptions = {
  flush: z.strictObject({
    wait: duration('Longest wait for changes of the schema under way to end.', '5m').prefault('5m'),
    ...settings(VERBS.flush),
  }),
  snapshot: z.strictObject(settings(VERBS.snapshot)),
  export: z.strictObject(settings(VERBS.export)),
  upload: z.strictObject({
    zstdLevel: z
      .int()
      .min(1)
      .max(19)
      .prefault(1)
      .meta({
        description: 'Compression: 1 is fast and already smaller than gzip; higher levels cost time.',
        examples: [3],
      }),
    ...settings(VERBS.upload),
  }),
  verify: z.strictObject({
    level: z
      .enum(verifyLevels)
      .prefault('checksums')
      .meta({
        description:
          '`exists`: every object is there. `checksums`: sizes and stored checksums too, without a download. `content`: everything is downloaded and hashed. `restore`: restored into a scratch database and compared.',
        examples: ['content'],
      }),
    ...settings(VERBS.verify),
  }),
  copy: z.strictObject({
    to: name('Name of the second repository.', 'second-site'),
    ...settings(VERBS.copy),
  }),
  sql: z.strictObject({
    statement: text('One SQL statement, run on the source.', 'CALL pause_jobs()').max(100_000),
    database: text("Database to run it in; left out, the connection's own.", 'orders').max(63).optional(),
    ...settings(VERBS.sql),
  }),
  http: z.strictObject({
    url: z
      .union([
        reading(readWebAddress, {
          description: 'The address itself, where it is no secret.',
          pattern: '^https?://',
          examples: ['https://example.com/hook'],
        }),
        secretReference('The address, where it holds a token.'),
      ])
      .meta({ description: 'Where to call.', examples: [{ env: 'ONCALL_HOOK' }] }),
    method: z
      .enum(['POST', 'PUT', 'GET'])
      .prefault('POST')
      .meta({ description: 'Method of the request; GET sends no body.', examples: ['POST'] }),
    ...settings(VERBS.http),
  }),
} as const;

/** Verbs that need no options, so that their bare name is a step. */
export const BARE_VERBS = ['flush', 'snapshot', 'export', 'upload', 'verify'] as const;

/** `- flush:` and `- flush: {}` say the same. */
const orNothing = <T extends z.ZodType>(options: T) =>
  z.union([z.null().transform(() => options.parse({})), options]);

const stepMapping = oneOf(
  {
    flush: orNothing(verbOptions.flush)
      .optional()
      .meta({ description: VERBS.flush.summary, examples: [{ wait: '5m' }] }),
    snapshot: orNothing(verbOptions.snapshot)
      .optional()
      .meta({ description: VERBS.snapshot.summary, examples: [{ timeout: '15m' }] }),
    export: orNothing(verbOptions.export)
      .optional()
      .meta({ description: VERBS.export.summary, examples: [{ timeout: '6h' }] }),
    upload: orNothing(verbOptions.upload)
      .optional()
      .meta({ description: VERBS.upload.summary, examples: [{ parallelism: 4 }] }),
    verify: orNothing(verbOptions.verify)
      .optional()
      .meta({ description: VERBS.verify.summary, examples: [{ level: 'content' }] }),
    copy: verbOptions.copy
      .optional()
      .meta({ description: VERBS.copy.summary, examples: [{ to: 'second-site' }] }),
    sql: verbOptions.sql
      .optional()
      .meta({ description: VERBS.sql.summary, examples: [{ statement: 'CALL pause_jobs()' }] }),
    http: verbOptions.http
      .optional()
      .meta({ description: VERBS.http.summary, examples: [{ url: { env: 'ONCALL_HOOK' } }] }),
    id: name(
      'Name of the step, for `needs` and for what is shown; left out, its verb.',
      'final-check',
    ).optional(),
    needs: z
      .array(name('Id of a step.', 'upload'))
      .optional()
      .meta({
        description:
          'Steps that must have ended before this one starts. Left out, the one before it that runs on success; `[]`, none.',
        examples: [['upload']],
      }),
    when: z
      .enum(['success', 'failure', 'always'])
      .prefault('success')
      .meta({
        description: 'Run it when all went well so far, when something failed, or in both cases.',
        examples: ['failure'],
      }),
  },
  VERB_NAMES,
);

/** More steps than any plan needs; bounds the work of checking them. */
export const STEPS_AT_MOST = 100;

const step = z
  .union([
    z
      .enum(BARE_VERBS)
      .transform((verb) => stepMapping.parse({ [verb]: null }))
      .meta({ description: 'A verb with its defaults.', examples: ['flush'] }),
    stepMapping,
  ])
  .meta({ description: 'One use of a verb.', examples: ['flush'] });

const planDocument = z
  .strictObject({
    apiVersion,
    kind: z
      .literal('BackupPlan')
      .meta({ description: 'What is backed up, where to, when and how.', examples: ['BackupPlan'] }),
    metadata: metadata('orders-nightly'),
    spec: z
      .strictObject({
        source,
        repository: name('Name of the repository document where the backups go.', 'main'),
        schedule: schedule.optional(),
        retention: retention.optional(),
        steps: z
          .array(step)
          .min(1)
          .max(STEPS_AT_MOST)
          .prefault([...BARE_VERBS])
          .meta({
            description:
              'What a backup does. Left out, the standard pipeline: flush, snapshot, export, upload, verify with level `checksums`.',
            examples: [['flush', 'snapshot', 'export', 'upload', 'verify']],
          }),
      })
      .meta({ description: 'The plan itself.' }),
  })
  .meta({ title: 'BackupPlan', description: 'What is backed up, where to, when and how.' });

export const documentSchemas = { Repository: repositoryDocument, BackupPlan: planDocument } as const;

export type DocumentKind = keyof typeof documentSchemas;

/** Any document of a plan file. */
export const anyDocument = z.discriminatedUnion('kind', [repositoryDocument, planDocument]);

export type RepositoryDocument = z.output<typeof repositoryDocument>;
export type PlanDocument = z.output<typeof planDocument>;
export type StepDocument = z.output<typeof step>;
export type SecretReference = z.output<typeof credentials>['accessKeyId'];
