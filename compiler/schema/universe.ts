import { z } from 'zod';
import { type Problem, quoted } from '../diagnostic.ts';
import { HOST_AND_PORT_PATTERN, readHostAndPort, readUniverseName } from '../names.ts';
import { readSize, SIZE_PATTERN } from '../size.ts';
import { alsoCheck, duration, type Fault, reading, secretReference } from './parts.ts';
import { textsOf } from './table-patterns.ts';

const address = (description: string, example: string) =>
  reading(readHostAndPort, { description, pattern: HOST_AND_PORT_PATTERN, examples: [example] });

/** Names become arguments of `yb-admin`, which takes a leading `-` for a flag. */
const databaseNames = (description: string, example: string) =>
  z
    .array(reading(readUniverseName, { description: 'A name, as it is.', minLength: 1, examples: [example] }))
    .min(1)
    .optional()
    .meta({ description, examples: [[example]] });

const rate = (description: string) =>
  reading((value) => readSize(value, '1KiB', '1TiB'), {
    description,
    pattern: SIZE_PATTERN,
    examples: ['100MiB'],
  }).optional();

const atOnce = (description: string, usual: number) =>
  z
    .int()
    .min(1)
    .max(64)
    .prefault(usual)
    .meta({ description, examples: [usual] });

export const universe = z
  .strictObject({
    masters: z
      .array(address('A master’s RPC address.', '10.0.0.1:7100'))
      .min(1)
      .max(32)
      .meta({ description: 'All masters of the universe.', examples: [['10.0.0.1:7100', '10.0.0.2:7100']] }),
    tls: z
      .strictObject({
        certsDir: secretReference('Directory with `ca.crt` on the worker, as yb-admin takes it.'),
      })
      .optional()
      .meta({
        description: 'Where the universe encrypts between its nodes.',
        examples: [{ certsDir: { env: 'YB_CERTS_DIR' } }],
      }),
    ysql: z
      .strictObject({ connection: secretReference('A `postgresql://` URL of the universe’s YSQL.') })
      .optional()
      .meta({
        description:
          'For schemas, sequences and roles of YSQL databases. Left out, a tablet server and port 5433, as the user yugabyte.',
        examples: [{ connection: { env: 'YSQL_URL' } }],
      }),
    databases: databaseNames('YSQL databases; each is one snapshot.', 'orders'),
    keyspaces: databaseNames('YCQL keyspaces; each is one snapshot.', 'metrics'),
    globals: z
      .enum(['none', 'roles', 'roles-with-passwords'])
      .prefault('roles')
      .meta({
        description: 'Roles of YSQL, saved beside the databases. With passwords means their hashes.',
        examples: ['roles'],
      }),
    countRows: z
      .boolean()
      .prefault(false)
      .meta({
        description:
          'Count the rows of YSQL tables as of the snapshot, so that a restore can compare them. Reads every table once. Without it a backup knows which tables held rows, and a restore looks whether they still do.',
        examples: [true],
      }),
    snapshotRetention: duration(
      'How long the universe keeps a snapshot if no run is left to delete it; whole hours.',
      '3d',
    ).prefault('3d'),
    limits: z
      .strictObject({
        tasksPerNode: atOnce('Tasks at once on one node.', 2),
        filesPerDisk: atOnce('Files read or written at once on one disk.', 4),
        bytesPerSecondPerNode: rate('What one node may send or fetch in a second.'),
        bytesPerSecond: rate('The same for all nodes together; each gets an equal share.'),
      })
      .prefault({})
      .meta({
        description: 'What agents may take from the nodes.',
        examples: [{ bytesPerSecondPerNode: '100MiB' }],
      }),
    patience: z
      .strictObject({
        agent: duration('An agent that takes no work for so long is passed over.', '2m').prefault('2m'),
        snapshot: duration('A snapshot that is not complete by then has failed.', '1h').prefault('1h'),
        restoration: duration('A restoration that has not ended by then is stuck.', '6h').prefault('6h'),
      })
      .prefault({})
      .meta({ description: 'How long the universe is waited for.', examples: [{ agent: '2m' }] }),
    masterWebPort: z
      .int()
      .min(1)
      .max(65_535)
      .prefault(7000)
      .meta({ description: 'Port of the masters’ web servers.', examples: [7000] }),
  })
  .check(
    alsoCheck(({ databases, keyspaces }) =>
      databases === undefined && keyspaces === undefined
        ? { params: { problem: NOTHING_TO_SAVE } }
        : duplicatesIn({ databases, keyspaces }),
    ),
  )
  .meta({
    description:
      'A YugabyteDB universe, by distributed snapshot: yb-admin, and an agent beside each tablet server.',
    examples: [{ masters: ['10.0.0.1:7100'], databases: ['orders'] }],
  });

const NOTHING_TO_SAVE: Problem = {
  code: 'MISSING_KEY',
  message: '`universe` names neither `databases` nor `keyspaces`',
  remedy: 'Write `databases: [orders]`, `keyspaces: [metrics]`, or both.',
};

/** Names that occur twice. A manifest distinguishes databases and keyspaces by name alone. */
function duplicatesIn(names: Readonly<Record<string, unknown>>): readonly Fault[] {
  const seen = new Set<string>();
  return Object.entries(names).flatMap(([key, list]) =>
    textsOf(list).flatMap((name, index): readonly Fault[] => {
      if (name === undefined) return [];
      if (!seen.has(name)) {
        seen.add(name);
        return [];
      }
      const problem: Problem = {
        code: 'DUPLICATE_NAME',
        message: `${quoted(name)} is named twice`,
        remedy: 'Name it once; a database and a keyspace of one name need a plan each.',
      };
      return [{ params: { problem }, path: [key, index] }];
    }),
  );
}
