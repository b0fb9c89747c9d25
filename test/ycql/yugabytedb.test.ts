import { findKeyspace } from '../../engines/ycql/catalog.ts';
import { ycqlEngine } from '../../engines/ycql/engine.ts';
import { Journal, objectItem } from '../../engines/ycql/restore/journal.ts';
import { compareKeyspaces, openSession } from './compare.ts';
import {
  createRepository,
  restoreContext,
  runRestore,
  type TestBackup,
  type TestRepository,
  takeBackup,
  ycqlSource,
} from './harness.ts';
import { EXTERNAL_YCQL, type YcqlServer, ycqlServer } from './server.ts';
import { createZoo, plainClient } from './zoo.ts';

let server: YcqlServer;
let repository: TestRepository;
let tables: readonly string[];
let backup: TestBackup;

beforeAll(async () => {
  server = await ycqlServer([
    'zoo',
    'copy',
    'untimed',
    'again',
    'moved',
    'other',
    'elsewhere',
    'names',
    'named',
  ]);
  repository = await createRepository();
  tables = await createZoo(
    server,
    'zoo',
    { seed: 5, rows: 150, dialect: 'ycql', untimedCollections: server.external },
    server.upstream,
  );
  backup = await takeBackup(
    repository,
    ycqlSource(server, {
      keyspaces: { include: ['zoo'], exclude: [] },
      writeTimes: 'always',
      chunkBytes: 20_000,
    }),
  );
});

afterAll(async () => {
  await server?.stop();
  await repository?.remove();
});

/** What is true of the stand-in alone. */
const ofProxy = process.env[EXTERNAL_YCQL] ? test.skip : test;

ofProxy('the proxy presents what YCQL does otherwise', async () => {
  const client = plainClient(server);
  try {
    const tablets = await client.execute(
      `SELECT * FROM system.partitions WHERE keyspace_name = 'zoo' AND table_name = 'wide'`,
    );
    expect(
      tablets.rows.map(({ start_key, end_key }) => [start_key.toString('hex'), end_key.toString('hex')]),
    ).toEqual([
      ['', '4000'],
      ['4000', '8000'],
      ['8000', 'c000'],
      ['c000', ''],
    ]);
    await expect(client.execute('SELECT ttl("m") FROM zoo.everything LIMIT 1')).rejects.toMatchObject({
      message: expect.stringContaining('is a collection'),
    });
    await expect(
      client.execute(`INSERT INTO zoo.transactional (p) VALUES (?) USING TTL ?`, [1, 2], { prepare: true }),
    ).rejects.toMatchObject({ message: expect.stringContaining('not allowed on a table with transactions') });
    await expect(
      client.execute('CREATE TABLE zoo.no (p int PRIMARY KEY, t tuple<int, int>)'),
    ).rejects.toMatchObject({ message: expect.stringContaining('Not Supported') });
    // Last, as the driver loses its way on this connection.
    await expect(client.execute('SELECT c_json FROM zoo.everything LIMIT 1')).rejects.toMatchObject({
      message: expect.stringContaining('Unknown data type: 128'),
    });
  } finally {
    await client.shutdown();
  }
});

test('the schema of YCQL is read: transactions, tablets, covering unique partial indexes, JSONB', async () => {
  const session = await openSession(server);
  try {
    expect(session.server.product).toBe('yugabytedb');
    const schema = await findKeyspace(session, 'zoo', new AbortController().signal);
    const table = schema?.tables.find(({ name }) => name === 'transactional');
    expect(table?.yugabyte).toEqual({ transactions: true, tablets: 4 });
    expect(table?.regulars).toContainEqual({ name: 'j', type: 'jsonb' });
    expect(table?.indexes).toMatchObject([
      { name: 'unique_v', target: '"v"', unique: true, include: ['W'], predicate: "v != 'none'" },
    ]);
  } finally {
    await session.close();
  }
});

test('names come back as they are: index targets and types that YCQL lists without quotes', async () => {
  const client = plainClient(server);
  try {
    for (const statement of [
      "CREATE KEYSPACE names WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
      'CREATE TYPE names."Post, Code" ("Zip" text, n int)',
      'CREATE TYPE names."Address" (code frozen<"Post, Code">)',
      'CREATE TABLE names."T" (p int, c int, "Home" frozen<map<text, frozen<list<frozen<"Address">>>>>, "A, b" text, PRIMARY KEY (p, c))',
      'CREATE INDEX "ByHome" ON names."T" ("A, b")',
    ])
      await client.execute(statement);
    await client.execute('INSERT INTO names."T" (p, c, "A, b") VALUES (1, 1, \'x\')');
    const made = await takeBackup(
      repository,
      ycqlSource(server, { keyspaces: { include: ['names'], exclude: [] } }),
    );
    const { problems } = await runRestore(restoreContext(made, { into: { names: 'named' } }));
    expect(problems).toEqual([]);
    const session = await openSession(server);
    const [source, copy] = await Promise.all(
      ['names', 'named'].map((name) => findKeyspace(session, name, new AbortController().signal)),
    );
    await session.close();
    expect(copy?.types).toEqual(source?.types);
    expect(copy?.tables[0]?.regulars).toEqual(source?.tables[0]?.regulars);
    expect(copy?.tables[0]?.indexes).toMatchObject([{ name: 'ByHome', target: '"A, b"' }]);
  } finally {
    await client.shutdown();
  }
});

test('chunks keep within tablets and each row is in one of them', () => {
  const { manifest, objects } = backup;
  expect(manifest.server.product).toBe('yugabytedb');
  expect(objects.length).toBeGreaterThan(6);
  const rows = Object.fromEntries(
    manifest.databases.flatMap(({ tables: listed }) =>
      listed.map(({ table, rows: count }) => [table, count]),
    ),
  );
  expect(rows).toMatchObject({ wide: 50, keys_only: 50, transactional: 30 });
});

test('every cell comes back, with its time of writing and expiry wherever YCQL tells them', async () => {
  const { problems } = await runRestore(restoreContext(backup, { into: { zoo: 'copy' } }));
  expect(problems).toEqual([]);
  const { cells, differences } = await compareKeyspaces(server, 'zoo', 'copy', tables);
  expect(differences).toEqual([]);
  expect(cells).toBeGreaterThan(3_500);
  // What YCQL refuses, the engine found out by asking, and never by writing.
  expect(server.refused.filter((line) => !line.includes('SELECT') && !line.includes('zoo.'))).toEqual([]);
});

test('without being asked to, times of writing are not written back, which costs a read each there', async () => {
  const source = { ...backup.source, writeTimes: 'auto' as const };
  const { problems } = await runRestore(restoreContext({ ...backup, source }, { into: { zoo: 'untimed' } }));
  expect(problems).toEqual([]);
  const { differences } = await compareKeyspaces(server, 'zoo', 'untimed', tables, { withTimes: false });
  expect(differences).toEqual([]);
});

test('rows that an attempt had written before it died are written again, and no element of a list is there twice', async () => {
  const source = { ...backup.source, writeTimes: 'auto' as const };
  const restore = restoreContext({ ...backup, source }, { into: { zoo: 'again' } });
  const { tasks } = await ycqlEngine.restore.plan(restore);
  await ycqlEngine.restore.prepare(restore);
  const session = await openSession(server);
  try {
    const journal = new Journal(session, 'again', restore.signal);
    for (const attempt of [1, 2]) {
      for (const { key } of attempt === 1 ? [] : backup.objects)
        await journal.set(objectItem(key), 'begun by one that died');
      for (let task = 0; task < tasks; task += 1)
        await ycqlEngine.restore.load({ ...restore, attempt }, task);
    }
  } finally {
    await session.close();
  }
  const exact = tables.filter((table) => table !== 'counted');
  const { differences } = await compareKeyspaces(server, 'zoo', 'again', exact, { withTimes: false });
  expect(differences).toEqual([]);
  const units = backup.manifest.databases.length === 0 ? 0 : 3;
  for (let unit = 0; unit < units; unit += 1)
    await ycqlEngine.restore.postData(restore, { wave: 0, unit, units });
  // What counts is put right at the end.
  expect((await ycqlEngine.restore.finish(restore)).problems).toEqual([]);
});

ofProxy('a backup of Cassandra goes into YCQL, which takes collections as wholes only', async () => {
  const made = await takeBackup(
    repository,
    ycqlSource(server.upstream, {
      keyspaces: { include: ['zoo'], exclude: [] },
      tables: { include: ['zoo.everything', 'zoo.wide'], exclude: [] },
    }),
  );
  const source = ycqlSource(server, { writeTimes: 'always' });
  const { problems } = await runRestore(restoreContext({ ...made, source }, { into: { zoo: 'moved' } }));
  expect(problems).toEqual([]);
});

test('what YCQL does not tell of a table is listed by table', () => {
  const losses = Object.fromEntries(
    backup.manifest.databases.flatMap(({ tables: listed }) =>
      listed.map(({ table, losses: own }) => [table, own]),
    ),
  );
  expect(losses.everything).toEqual([
    expect.stringMatching(/time of writing of sm, l, m, s, u/),
    expect.stringMatching(/expiry of sm, l, m, s, u/),
  ]);
  expect(losses.wide).toBeUndefined();
});

ofProxy('a backup of Cassandra with types that YCQL lacks is refused there, with the columns', async () => {
  await createZoo(server.upstream, 'other', { seed: 6, rows: 30, dialect: 'cassandra' });
  const made = await takeBackup(
    repository,
    ycqlSource(server.upstream, { keyspaces: { include: ['other'], exclude: [] } }),
  );
  const restore = runRestore(
    restoreContext({ ...made, source: ycqlSource(server) }, { into: { other: 'elsewhere' } }),
  );
  await expect(restore).rejects.toMatchObject({
    code: 'RESTORE_TYPE_MISSING',
    message: expect.stringContaining('everything column c_duration (duration)'),
  });
});
