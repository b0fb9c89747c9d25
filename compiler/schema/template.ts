import { z } from 'zod';
import { refused } from '../diagnostic.ts';
import { alsoCheck, apiVersion, metadata, name, text } from './parts.ts';

/** Names of parameters: safe between `${` and `}`. */
export const PARAMETER_NAME_PATTERN = '^[A-Za-z][A-Za-z0-9_-]{0,62}$';

export const PARAMETER_TYPES = ['string', 'number', 'boolean'] as const;

const parameterName = z.string().regex(new RegExp(PARAMETER_NAME_PATTERN));
const parameterValue = z.union([z.string(), z.number(), z.boolean()]);

const parameter = z
  .strictObject({
    type: z
      .enum(PARAMETER_TYPES)
      .prefault('string')
      .meta({ description: 'What a value must be.', examples: ['string'] }),
    default: parameterValue
      .optional()
      .meta({ description: 'The value where a plan gives none.', examples: ['02'] }),
    required: z
      .boolean()
      .optional()
      .meta({
        description: 'Left out, true where there is no `default`: a plan must give the value.',
        examples: [true],
      }),
    description: text('What it is for, in a sentence.', 'The team that owns the database.').optional(),
  })
  .check(
    alsoCheck(({ default: fallback, required }) => {
      if (required === undefined || required === (fallback === undefined)) return undefined;
      const { problem } = required
        ? refused(
            'WRONG_VALUE',
            'A required parameter has a `default`, which nothing would use',
            'Keep one of them.',
          )
        : refused(
            'MISSING_KEY',
            'A parameter that is not required has no `default`',
            'Write the `default`, or leave `required` out.',
          );
      return { params: { problem }, path: ['required'] };
    }),
  );

export const templateDocument = z
  .strictObject({
    apiVersion,
    kind: z
      .literal('PlanTemplate')
      .meta({ description: 'What many plans have in common.', examples: ['PlanTemplate'] }),
    metadata: metadata('nightly'),
    spec: z
      .strictObject({
        parameters: z
          .record(parameterName, parameter)
          .optional()
          .meta({
            description: 'What plans give, by names of letters, digits, `_` and `-`.',
            examples: [{ team: { type: 'string' } }],
          }),
        plan: z.record(z.string(), z.unknown()).meta({
          description:
            'The `spec` of a BackupPlan, or a part of it. `${name}` within a text is the value of a parameter; a text that is nothing else keeps the type of the value. `$${` stands for `${`.',
          examples: [{ repository: 'main', retention: { keepDaily: 7 } }],
        }),
      })
      .meta({ description: 'The template itself.', examples: [{ plan: { repository: 'main' } }] }),
  })
  .meta({ title: 'PlanTemplate', description: 'What many plans have in common.' });

/** `spec.template` of a plan. */
export const templateUse = z
  .strictObject({
    name: name('Name of the PlanTemplate document.', 'nightly'),
    parameters: z
      .record(z.string(), parameterValue)
      .optional()
      .meta({
        description: 'A value for each parameter without a default.',
        examples: [{ team: 'payments' }],
      }),
  })
  .meta({
    description:
      'The template that the plan is made of. Mappings are merged key by key, and the plan wins; its lists, single values and references replace those of the template.',
    examples: [{ name: 'nightly', parameters: { team: 'payments' } }],
  });
