import { z } from 'zod';
import { type Problem, type Reading, refused } from '../diagnostic.ts';
import { readAbsolutePath, readHost } from '../names.ts';
import { readCqlTablePattern, readKeyspacePattern } from '../patterns.ts';
import { readSize, SIZE_PATTERN } from '../size.ts';
import { alsoCheck, reading, secretReference, text } from './parts.ts';
import { patterns } from './table-patterns.ts';

const NOT_SAID: Problem = refused(
  'CONSISTENCY_NOT_SAID',
  'A YCQL backup reads one chunk after another, so it is a scan and not one instant; the plan must say so',
  'Write `consistency: scan` if that will do. Where all rows must be of one instant, use the source `universe`, which takes a distributed snapshot.',
).problem;

const consistency = reading(
  (value): Reading<'scan'> => (value === 'scan' ? { value } : { problem: NOT_SAID }),
  {
    description:
      'Must be `scan`: rows are read one chunk after another while others write, so the backup is not one instant. The source `universe` gives one.',
    enum: ['scan'],
    examples: ['scan'],
  },
);

const file = (description: string, example: string) =>
  reading(readAbsolutePath, { description, pattern: '^/', examples: [example] });

const tls = z
  .strictObject({
    ca: file(
      "File on the worker with the authority's certificates; left out, the system's.",
      '/etc/yugabyte/ca.crt',
    ).optional(),
    certificate: file(
      'Certificate of the client, where the server asks for one.',
      '/etc/yugabyte/client.crt',
    ).optional(),
    key: secretReference('Key of that certificate.').optional(),
    serverName: text(
      'Name in the certificate of the nodes, where it is not their address.',
      'yb.example.com',
    ).optional(),
    verify: z
      .boolean()
      .prefault(true)
      .meta({ description: '`false` takes any certificate, and so any server.', examples: [true] }),
  })
  .check(
    alsoCheck(({ certificate, key }) => {
      if ((certificate === undefined) === (key === undefined)) return undefined;
      const message = 'A client certificate and its key go together, and one of them is missing';
      const remedy = 'Write both `certificate` and `key`, or neither.';
      return { params: { problem: { code: 'MISSING_KEY', message, remedy } } };
    }),
  )
  .meta({
    description: 'Encrypted connections. Left out, plain ones.',
    examples: [{ ca: '/etc/yugabyte/ca.crt' }],
  });

const load = z
  .strictObject({
    rowsPerSecond: z
      .int()
      .min(1)
      .max(100_000_000)
      .optional()
      .meta({
        description: 'Rows that one worker reads or writes in a second, at most. Left out, no bound.',
        examples: [20_000],
      }),
    inFlightPerNode: z
      .int()
      .min(1)
      .max(1_024)
      .prefault(4)
      .meta({
        description: 'Pages of rows that one node reads at a time for one worker, at most.',
        examples: [4],
      }),
    writesInFlightPerNode: z
      .int()
      .min(1)
      .max(4_096)
      .prefault(64)
      .meta({
        description:
          'Small batches (about 5 KiB) that one node writes at a time for one worker, at most; a restore’s pace.',
        examples: [64],
      }),
    pageRows: z
      .int()
      .min(1)
      .max(100_000)
      .prefault(5_000)
      .meta({
        description: 'Rows in one answer, at most; halved by itself where the server cannot answer in time.',
        examples: [5_000],
      }),
  })
  .prefault({})
  .meta({
    description: 'Bounds on what a worker asks of the database.',
    examples: [{ rowsPerSecond: 20_000 }],
  });

export const ycql = z
  .strictObject({
    contactPoints: z
      .array(
        reading(readHost, {
          description: 'Host name or address of a node, without a port.',
          minLength: 1,
          examples: ['10.0.0.11'],
        }),
      )
      .min(1)
      .max(100)
      .meta({
        description: 'Some nodes; the others are learnt from them.',
        examples: [['10.0.0.11', '10.0.0.12']],
      }),
    port: z
      .int()
      .min(1)
      .max(65_535)
      .prefault(9042)
      .meta({ description: 'Port of CQL, the same on every node.', examples: [9042] }),
    localDataCenter: text(
      'Data centre (in YugabyteDB: region) whose nodes are asked; left out, that of the first contact point that answers.',
      'eu-west-1',
    ).optional(),
    username: secretReference('Role to log in as.').optional(),
    password: secretReference('Its password.').optional(),
    tls: tls.optional(),
    keyspaces: patterns(readKeyspacePattern, 'names of keyspaces', 'shop_*')
      .prefault({})
      .meta({
        description:
          "Keyspaces; left out, all but the server's own. Globs: `*` is any run of characters, `?` any one.",
        examples: [{ include: ['shop'] }],
      }),
    tables: patterns(readCqlTablePattern, '`keyspace.table`', 'shop.tmp_*')
      .prefault({})
      .meta({
        description: 'Tables, as globs over `keyspace.table`.',
        examples: [{ exclude: ['shop.tmp_*'] }],
      }),
    contents: z
      .enum(['all', 'schema', 'data'])
      .prefault('all')
      .meta({ description: 'Schema and rows, or one of the two.', examples: ['all'] }),
    globals: z
      .enum(['none', 'roles', 'roles-with-passwords'])
      .prefault('none')
      .meta({
        description: 'Roles and their grants, where the server has them. With passwords means their hashes.',
        examples: ['roles'],
      }),
    consistency: consistency.optional(),
    consistencyLevel: z
      .enum(['ONE', 'LOCAL_ONE', 'QUORUM', 'LOCAL_QUORUM', 'ALL'])
      .prefault('LOCAL_QUORUM')
      .meta({
        description: 'How many replicas must agree on what is read and written.',
        examples: ['LOCAL_QUORUM'],
      }),
    writeTimes: z
      .enum(['auto', 'always', 'none'])
      .prefault('auto')
      .meta({
        description:
          'Time of writing of each cell. `auto`: kept, and written back where that is cheap, which it is not on YugabyteDB. `always`: written back wherever the server takes it. `none`: not even read.',
        examples: ['auto'],
      }),
    load,
    chunkSize: reading((value) => readSize(value, '1MiB', '256MiB'), {
      description:
        'Target size of a chunk, in bytes of rows as CQL sends them, from 1MiB to 256MiB. A worker holds one compressed chunk in memory for each slot.',
      pattern: SIZE_PATTERN,
      examples: ['32MiB'],
    }).prefault('32MiB'),
  })
  .check(
    alsoCheck(({ consistency: said, username, password }) => {
      const unsaid = said === undefined ? [{ params: { problem: NOT_SAID } }] : [];
      if ((username === undefined) === (password === undefined)) return unsaid;
      const message = 'A user name and a password go together, and one of them is missing';
      const remedy =
        'Write both `username` and `password`, each as `{ env: NAME }` or `{ file: … }`; or neither.';
      return [...unsaid, { params: { problem: { code: 'MISSING_KEY', message, remedy } } }];
    }),
  )
  .meta({
    description: 'A YCQL (or Apache Cassandra) cluster, read by CQL alone.',
    allOf: [{ required: ['consistency'] }],
    examples: [{ contactPoints: ['10.0.0.11'], keyspaces: { include: ['shop'] }, consistency: 'scan' }],
  });
