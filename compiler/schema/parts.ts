import { z } from 'zod';
import type { Problem, Reading } from '../diagnostic.ts';
import { DURATION_PATTERN, readDuration } from '../duration.ts';
import {
  ENVIRONMENT_NAME_PATTERN,
  NAME_PATTERN,
  readAbsolutePath,
  readEnvironmentName,
  readName,
} from '../names.ts';

/* Building blocks of all documents' schemas. */

/** A text that `read` turns into a value, or refuses with what is wrong and what to write. */
export function reading<T>(read: (text: string) => Reading<T>, meta: z.GlobalMeta) {
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

/** A fault that a check of a whole mapping finds. `schema-issues.ts` makes a problem of its `params`. */
export interface Fault {
  readonly params:
    | { readonly problem: Problem }
    | { readonly choices: readonly string[]; readonly chosen: readonly string[] };
  readonly path?: (string | number)[];
}

/** A check that runs even if the mapping has other faults, so that one run shows all of them. */
export function alsoCheck(
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

/** What a check says of a member whose value doesn't fit. */
export function wrongValue(key: string, message: string, remedy: string): Fault {
  return { params: { problem: { code: 'WRONG_VALUE', message, remedy } }, path: [key] };
}

/** A member of a value that may be a mapping. Undefined where it isn't one, or lacks the member. */
export function memberOf(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.entries(value).find(([name]) => name === key)?.[1];
}

/** A mapping with a choice of keys, of which exactly one must be present. */
export function oneOf<Shape extends z.ZodRawShape>(shape: Shape, choices: readonly (keyof Shape & string)[]) {
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

export const duration = (description: string, example: string) =>
  reading(readDuration, { description, pattern: DURATION_PATTERN, examples: [example] });

export const text = (description: string, example: string) =>
  z
    .string()
    .min(1)
    .meta({ description, examples: [example] });

/** The name of a role of the database, as the server has it: at most 63 bytes, no quotes around it. */
export const roleName = (description: string) => text(description, 'holdfast_backup').max(63);

export const name = (description: string, example: string) =>
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

export const secretReference = (description: string) =>
  oneOf({ env: environmentName.optional(), file: secretFile.optional() }, ['env', 'file']).meta({
    description: `${description} By reference only: the value stays where the worker runs.`,
    examples: [{ env: 'NAME' }],
  });

export const apiVersion = z.literal('holdfast/v1').meta({
  description: 'Version of the plan language.',
  examples: ['holdfast/v1'],
});

const labelText = z.string().max(63);

export const metadata = (example: string) =>
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
