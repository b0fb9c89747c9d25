import { z } from 'zod';
import type { Problem } from '../diagnostic.ts';
import { alsoCheck, duration, roleName, secretReference, text } from './parts.ts';
import { scheduleOf } from './schedule.ts';

const scalars = [
  z.string().meta({ description: 'Text as the server writes it.' }),
  z.number(),
  z.boolean(),
  z.null(),
] as const;

const bound = (description: string, example: number) =>
  z
    .number()
    .optional()
    .meta({ description, examples: [example] });

const answer = z
  .strictObject({
    min: bound('A number, at least this.', 1),
    max: bound('A number, at most this.', 1_000_000),
    rows: z
      .array(z.array(z.union(scalars)).min(1))
      .max(1_000)
      .optional()
      .meta({ description: 'These rows, in this order; `[]` means none.', examples: [[['paid', 3]]] }),
  })
  .check(
    alsoCheck(({ min, max, rows }) => {
      if (rows !== undefined) {
        if (min === undefined && max === undefined) return undefined;
        const message = '`rows` and a range exclude each other';
        const remedy = 'Write an assertion for each.';
        return { params: { problem: { code: 'NOT_EXACTLY_ONE', message, remedy } }, path: ['rows'] };
      }
      if (min === undefined && max === undefined) {
        const message = 'This expects nothing';
        const remedy = 'Write a value, or `min`, `max` or both, or `rows`.';
        return { params: { problem: { code: 'MISSING_KEY', message, remedy } } };
      }
      if (typeof min !== 'number' || typeof max !== 'number' || min <= max) return undefined;
      const message = `\`min\` (${min}) is greater than \`max\` (${max})`;
      const remedy = 'Exchange them.';
      return { params: { problem: { code: 'OUT_OF_RANGE', message, remedy } }, path: ['min'] };
    }),
  );

const assertion = z
  .strictObject({
    name: text('What it is called in verdicts; left out, its place in the list.', 'orders have customers')
      .max(100)
      .optional(),
    sql: text(
      'One statement, run read-only on the restored copy. Name tables with their schema: the search path is empty.',
      'SELECT count(*) FROM public.orders',
    ).max(100_000),
    database: text(
      "Database of the backup, by its name at the source; left out, the backup's first one.",
      'orders',
    )
      .max(63)
      .optional(),
    expect: z.union([...scalars, answer]).meta({
      description:
        'What it must answer: a value (of one row with one column), a number within `min` and `max`, or `rows`.',
      examples: [{ min: 1 }],
    }),
  })
  .meta({
    description: 'A question to the restored copy, with the right answer.',
    examples: [{ sql: 'SELECT count(*) FROM public.orders', expect: { min: 1 } }],
  });

export const drill = z
  .strictObject({
    schedule: scheduleOf({ many: 'drills', one: 'a drill' }).optional(),
    backup: z
      .enum(['latest', 'random'])
      .prefault('latest')
      .meta({
        description: 'Which backup is restored: the newest, or any one, so that in time all of them are.',
        examples: ['random'],
      }),
    check: z
      .enum(['rows', 'content'])
      .prefault('content')
      .meta({
        description:
          'What is compared with the manifest: the number of rows of each table, or also a hash of every row.',
        examples: ['content'],
      }),
    indexCheck: duration(
      'With `check: content`, on YSQL: how long the indexes of each database may be compared with their tables; what is not reached is named. Left out, ten minutes.',
      '30m',
    ).optional(),
    connection: secretReference(
      "Another server to restore to, as a connection URL; left out, the source's own server.",
    ).optional(),
    owner: roleName(
      'Everything that a drill restores belongs to this role. Left out: a superuser gives objects to their owners, and any other role keeps them itself.',
    ).optional(),
    assertions: z
      .array(assertion)
      .max(100)
      .prefault([])
      .meta({
        description: 'Questions to the restored copy, each with the right answer.',
        examples: [[{ sql: 'SELECT count(*) FROM public.orders', expect: { min: 1 } }]],
      }),
    tolerate: z
      .boolean()
      .prefault(false)
      .meta({
        description:
          'Leave out what the server refuses, name each object, and end with FAILED; otherwise the first refusal ends the drill inconclusive.',
        examples: [true],
      }),
    parallelism: z
      .int()
      .min(1)
      .max(64)
      .prefault(2)
      .meta({ description: 'Chunks and indexes restored at once.', examples: [2] }),
    timeout: duration('Longest time for the whole drill; after it, it is inconclusive.', '6h').prefault(
      '12h',
    ),
  })
  .meta({
    description:
      'Tests restores: a backup is restored into scratch databases, compared with its manifest, asked the assertions, and dropped.',
    examples: [{ schedule: { cron: '0 5 * * sun' }, backup: 'random' }],
  });

/** `tolerate` is for `ysql` only, since the other engines restore all or nothing. */
export const TOLERATES_OF_YSQL: Problem = {
  code: 'MISPLACED_KEY',
  message: 'Objects can be left out of restores of a `ysql` source alone',
  remedy: 'Leave out `tolerate`.',
};

/** Assertions are for `ysql` only: copies of other engines can't be asked, so all such drills would be inconclusive. */
export const ONLY_OF_YSQL: Problem = {
  code: 'MISPLACED_KEY',
  message: 'Assertions can be asked of a `ysql` source alone',
  remedy: 'Leave `assertions` out: a drill also compares the whole copy with the manifest.',
};
