import { z } from 'zod';
import type { Reading } from '../diagnostic.ts';
import { readDatabasePattern, readTablePattern, shadowed } from '../patterns.ts';
import { readSize, SIZE_PATTERN } from '../size.ts';
import { alsoCheck, type Fault, oneOf, reading, secretReference } from './parts.ts';

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

export const source = oneOf({ ysql: ysql.optional() }, ['ysql']).meta({
  description: 'What is backed up, and by which engine.',
  examples: [{ ysql: { connection: { env: 'ORDERS_DATABASE_URL' } } }],
});
