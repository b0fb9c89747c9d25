import { z } from 'zod';
import { readDatabasePattern, readTablePattern } from '../patterns.ts';
import { readSize, SIZE_PATTERN } from '../size.ts';
import { oneOf, reading, secretReference } from './parts.ts';
import { patterns } from './table-patterns.ts';
import { universe } from './universe.ts';
import { ycql } from './ycql.ts';

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
    dumpProgram: z
      .enum(['pg_dump'])
      .optional()
      .meta({
        description:
          "Dumps the schema of a YugabyteDB by PostgreSQL's `pg_dump`, where no `ysql_dump` can be installed. Order and sharding of keys, colocation and splits are lost. Left out: by the server's own program.",
        examples: ['pg_dump'],
      }),
    format: z
      .enum(['text', 'binary'])
      .optional()
      .meta({
        description:
          "How rows are stored. Left out: a table of PostgreSQL whose columns all have built-in types with one stable binary form goes in COPY's binary format, which is faster to read and to load, every other table as COPY text. `text`: all as text. `binary`: on a YugabyteDB too, where nobody has confirmed it yet.",
        examples: ['text'],
      }),
    chunkSize: reading((value) => readSize(value, '1MiB', '256MiB'), {
      description:
        'Target size of a chunk, in bytes of COPY text, from 1MiB to 256MiB. A worker holds one compressed chunk in memory for each slot.',
      pattern: SIZE_PATTERN,
      examples: ['64MiB'],
    }).prefault('64MiB'),
  })
  .meta({
    description: 'A YSQL (or PostgreSQL 15 and newer) server, read by SQL alone.',
    examples: [{ connection: { env: 'ORDERS_DATABASE_URL' } }],
  });

export const source = oneOf({ ysql: ysql.optional(), ycql: ycql.optional(), universe: universe.optional() }, [
  'ysql',
  'ycql',
  'universe',
]).meta({
  description: 'What is backed up, and by which engine.',
  examples: [{ ysql: { connection: { env: 'ORDERS_DATABASE_URL' } } }],
});

export type UniverseDocument = z.output<typeof universe>;
