import { z } from 'zod';
import type { VerifyLevel } from '../../model/pipeline.ts';
import { writeDuration } from '../duration.ts';
import { readWebAddress } from '../names.ts';
import { VERB_NAMES, VERBS, type VerbSignature } from '../verbs.ts';
import { reachOf } from './notify.ts';
import { alsoCheck, duration, name, oneOf, reading, roleName, secretReference, text } from './parts.ts';

function settings({ defaults, maxParallelism }: VerbSignature) {
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
        .meta({ description: 'Each wait is this many times the one before it.', examples: [2] }),
    })
    .check(
      alsoCheck((policy) => {
        const { initialInterval, maximumInterval } = policy;
        if (typeof initialInterval !== 'number' || typeof maximumInterval !== 'number') return undefined;
        if (maximumInterval >= initialInterval) return undefined;
        const message = `\`maximumInterval\` (${writeDuration(maximumInterval)}) is shorter than \`initialInterval\` (${writeDuration(initialInterval)})`;
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
      .max(maxParallelism)
      .prefault(defaults.parallelism)
      .meta({
        description:
          maxParallelism === 1
            ? 'This verb is one activity, so 1.'
            : `How many activities of the step run at once, up to ${maxParallelism}.`,
        examples: [defaults.parallelism],
      }),
  };
}

const verifyLevels = ['exists', 'checksums', 'content', 'restore'] as const satisfies readonly VerifyLevel[];

/** The options of each verb. Where none is required, a step may be the verb alone. */
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
    owner: roleName(
      'With `level: restore`: everything in the scratch database belongs to this role. Left out, as for a drill.',
    ).optional(),
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
    reach: reachOf('loopback').optional(),
    ...settings(VERBS.http),
  }),
} as const;

/** Verbs that need no options, so that their bare name is a step. */
export const BARE_VERBS = ['flush', 'snapshot', 'export', 'upload', 'verify'] as const;

/** `- flush:` means the same as `- flush: {}`. */
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

/** Most steps in a plan, more than any plan needs. Bounds the work of checking them. */
export const STEPS_AT_MOST = 100;

export const step = z
  .union([
    z
      .enum(BARE_VERBS)
      .transform((verb) => stepMapping.parse({ [verb]: null }))
      .meta({ description: 'A verb with its defaults.', examples: ['flush'] }),
    stepMapping,
  ])
  .meta({ description: 'One use of a verb.', examples: ['flush'] });

export type StepDocument = z.output<typeof step>;
