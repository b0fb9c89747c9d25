import { ycqlEngine } from '../../engines/ycql/engine.ts';
import { compareDefinitions } from '../../engines/ycql/restore/definitions.ts';
import { restoreJob } from '../../engines/ycql/restore/job.ts';
import { withSession } from '../../engines/ycql/shared-session.ts';
import { resolveTarget } from '../../engines/ycql/target.ts';
import type { YcqlSource } from '../../model/pipeline.ts';
import { backupContext, restoreContext, runRestore, takeBackup, ycqlSource } from './harness.ts';
import { useCassandra } from './stage.ts';

/* What a keyspace of Cassandra has beside its rows, and what a login may see of them. */

const stage = useCassandra({
  authentication: true,
  settings: { dynamic_data_masking_enabled: 'true' },
});

beforeAll(async () => {
  process.env.YCQL_OBJECTS_SUPER = 'cassandra';
  process.env.YCQL_OBJECTS_READER = 'reader';
  for (const statement of SCHEMA) await stage.client.execute(statement);
  for (let p = 0; p < 20; p += 1) {
    await stage.client.execute(
      `INSERT INTO objects.people (p, name, ssn, home) VALUES (${p}, 'n${p % 4}', 'secret ${p}', {street: 'Elm'})`,
    );
  }
});

const SCHEMA = [
  "CREATE KEYSPACE objects WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
  'CREATE TYPE objects.address (street text, n int)',
  "CREATE FUNCTION objects.hide (a text, n int) CALLED ON NULL INPUT RETURNS text LANGUAGE java AS 'return \"it''s \" + n;'",
  'CREATE FUNCTION objects."Plus" (a int, b int) RETURNS NULL ON NULL INPUT RETURNS int LANGUAGE java AS $$return a + b;$$',
  'CREATE FUNCTION objects."Plus" (a text, "B" address) CALLED ON NULL INPUT RETURNS text LANGUAGE java AS $$return a;$$',
  'CREATE AGGREGATE objects.total(int) SFUNC "Plus" STYPE int INITCOND 5',
  `CREATE TABLE objects.people (p int PRIMARY KEY, name text, ssn text MASKED WITH mask_inner(1, null), note text MASKED WITH objects.hide(3), born date MASKED WITH mask_replace('2000-01-01'), home address)
   WITH allow_auto_snapshot = false AND incremental_backups = false AND comment = 'it''s ours'`,
  `CREATE MATERIALIZED VIEW objects."ByName" AS SELECT p, name, ssn FROM objects.people WHERE name IS NOT NULL AND p IS NOT NULL PRIMARY KEY (name, p) WITH CLUSTERING ORDER BY (p DESC) AND comment = 'a view'`,
  'CREATE MATERIALIZED VIEW objects.everyone AS SELECT * FROM objects.people WHERE p IS NOT NULL PRIMARY KEY (p)',
  "CREATE ROLE reader WITH PASSWORD = 'reader' AND LOGIN = true",
  'GRANT SELECT ON ALL KEYSPACES TO reader',
];

function source(login: 'SUPER' | 'READER', changes: Partial<YcqlSource> = {}): YcqlSource {
  const secret = { env: `YCQL_OBJECTS_${login}` };
  return ycqlSource(stage.cluster, {
    credentials: { username: secret, password: secret },
    keyspaces: { include: ['objects'], exclude: [] },
    ...changes,
  });
}

async function definitions(keyspace: string) {
  const rows = async (table: string, columns: string) =>
    (
      await stage.client.execute(
        `SELECT ${columns} FROM system_schema.${table} WHERE keyspace_name = '${keyspace}'`,
      )
    ).rows.map((row) => JSON.stringify(row).replaceAll(keyspace, 'KEYSPACE'));
  return {
    functions: await rows(
      'functions',
      'function_name, argument_types, argument_names, body, called_on_null_input, language, return_type',
    ),
    aggregates: await rows(
      'aggregates',
      'aggregate_name, argument_types, final_func, initcond, state_func, state_type',
    ),
    views: await rows('views', 'view_name, base_table_name, where_clause, include_all_columns, comment'),
    columns: await rows('columns', 'table_name, column_name, kind, position, type, clustering_order'),
    masks: await rows('column_masks', '*'),
    tables: await rows('tables', 'table_name, comment, allow_auto_snapshot, incremental_backups'),
  };
}

test('functions with their overloads, aggregates, views, masks and options come back', async () => {
  const backup = await takeBackup(stage.repository, source('SUPER'));
  expect(backup.manifest.databases[0]?.losses).toBeUndefined();
  const { problems } = await runRestore(restoreContext(backup, { into: { objects: 'again' } }));
  expect(problems).toEqual([]);
  expect(await definitions('again')).toEqual(await definitions('objects'));
  const { rows } = await stage.client.execute('SELECT p FROM again."ByName" WHERE name = \'n1\'');
  expect(rows.map(({ p }) => p)).toEqual([17, 13, 9, 5, 1]);
  const { rows: sums } = await stage.client.execute('SELECT again.total(p) AS sum FROM again.people');
  expect(sums[0]?.sum).toBe(195);
});

test('a restore that is given up in a keyspace that was there drops its types and functions, and leaves those that it found', async () => {
  const backup = await takeBackup(stage.repository, source('SUPER'));
  await stage.client.execute(
    "CREATE KEYSPACE shared WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
  );
  await stage.client.execute('CREATE TYPE shared.address (street text, n int)');
  const context = restoreContext(backup, { into: { objects: 'shared' } });
  await ycqlEngine.restore.plan(context);
  await ycqlEngine.restore.prepare(context);
  await ycqlEngine.restore.discard(context);
  const { functions, aggregates, columns } = await definitions('shared');
  expect([functions, aggregates, columns]).toEqual([[], [], []]);
  const { rows } = await stage.client.execute(
    "SELECT type_name FROM system_schema.types WHERE keyspace_name = 'shared'",
  );
  expect(rows.map(({ type_name }) => type_name)).toEqual(['address']);
});

test.each([
  ['type', ['CREATE TYPE differing.address (street text, n text)']],
  [
    'function',
    [
      'CREATE FUNCTION differing."Plus" (a int, b int) RETURNS NULL ON NULL INPUT RETURNS int LANGUAGE java AS $$return a * b;$$',
    ],
  ],
])('a %s of the same name and another meaning in the target is refused by name', async (kind, statements) => {
  const backup = await takeBackup(stage.repository, source('SUPER'));
  await stage.client.execute('DROP KEYSPACE IF EXISTS differing');
  await stage.client.execute(
    "CREATE KEYSPACE differing WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
  );
  for (const statement of statements) await stage.client.execute(statement);
  await expect(
    ycqlEngine.restore.plan(restoreContext(backup, { into: { objects: 'differing' } })),
  ).rejects.toMatchObject({
    code: 'RESTORE_DEFINITION_DIFFERS',
    message: expect.stringContaining(`${kind} differing.`),
  });
});

test('a view can be left out, and the table that it is of stays', async () => {
  const backup = await takeBackup(stage.repository, source('SUPER'));
  const { problems } = await runRestore(
    restoreContext(backup, {
      into: { objects: 'viewless' },
      tables: { include: [], exclude: ['objects.ByName', 'objects.everyone'] },
    }),
  );
  expect(problems).toEqual([]);
  const { rows } = await stage.client.execute(
    "SELECT view_name FROM system_schema.views WHERE keyspace_name = 'viewless'",
  );
  expect(rows).toEqual([]);
});

test('a pattern leaves views out as it leaves tables out', async () => {
  const backup = await takeBackup(stage.repository, source('SUPER'));
  const tables = { include: [], exclude: ['objects.*y*'] };
  const { problems } = await runRestore(restoreContext(backup, { into: { objects: 'patterns' }, tables }));
  expect(problems).toEqual([]);
  const { rows } = await stage.client.execute(
    "SELECT view_name FROM system_schema.views WHERE keyspace_name = 'patterns'",
  );
  expect(rows).toEqual([]);
});

test('no such table in the backup: a name that is asked for or left out is refused, not passed over', async () => {
  const backup = await takeBackup(stage.repository, source('SUPER'));
  const refused = { code: 'RESTORE_NO_SUCH_TABLE', message: expect.stringContaining('objects.typo') };
  for (const tables of [
    { include: ['objects.people', 'objects.typo'], exclude: [] },
    { include: [], exclude: ['objects.typo'] },
  ]) {
    const context = restoreContext(backup, { into: { objects: 'typo' }, tables });
    await expect(ycqlEngine.restore.plan(context)).rejects.toMatchObject(refused);
  }
});

test('an index of values(m) comes back on the values, also beside a column of that name', async () => {
  for (const statement of [
    "CREATE KEYSPACE twins WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    'CREATE TABLE twins.t (p int PRIMARY KEY, m map<text, text>, "values(m)" text)',
    'CREATE INDEX of_values ON twins.t (VALUES(m))',
    'CREATE INDEX of_column ON twins.t ("values(m)")',
    `INSERT INTO twins.t (p, m, "values(m)") VALUES (1, {'a': 'b'}, 'z')`,
  ])
    await stage.client.execute(statement);
  const keyspaces = { include: ['twins'], exclude: [] };
  const backup = await takeBackup(stage.repository, source('SUPER', { keyspaces }));
  const { problems } = await runRestore(restoreContext(backup, { into: { twins: 'twins_again' } }));
  expect(problems).toEqual([]);
  const targets = async (keyspace: string) =>
    (
      await stage.client.execute(
        `SELECT index_name, options FROM system_schema.indexes WHERE keyspace_name = '${keyspace}'`,
      )
    ).rows.map(({ index_name, options }) => [index_name, options.target]);
  expect(await targets('twins_again')).toEqual(await targets('twins'));
});

test('a view, a function or an index that is not as in the backup is told', async () => {
  const backup = await takeBackup(stage.repository, source('SUPER'));
  const context = restoreContext(backup, { into: { objects: 'robbed' } });
  const job = await restoreJob(context);
  await runRestore(context);
  await stage.client.execute('DROP MATERIALIZED VIEW robbed.everyone');
  await stage.client.execute('DROP AGGREGATE robbed.total(int)');
  const [keyspace] = job.keyspaces;
  if (keyspace === undefined) throw new Error('the backup has no keyspace');
  const told = await withSession(context, job.target, job.source, (session) =>
    compareDefinitions(job, keyspace, session),
  );
  expect(told).toEqual(['keyspace robbed lacks view everyone', 'keyspace robbed lacks aggregate total(int)']);
});

describe('columns that the login sees masked', () => {
  test('are refused by name before anything is written, and by doctor', async () => {
    await expect(takeBackup(stage.repository, source('READER'))).rejects.toMatchObject({
      code: 'YCQL_MASKED',
      message: expect.stringContaining('objects.people (born, note, ssn)'),
      remedy: expect.stringContaining('GRANT UNMASK ON KEYSPACE "objects" TO "reader"'),
    });
    const checks = await ycqlEngine.check(backupContext(stage.repository), source('READER'));
    expect(checks.find(({ name }) => name === 'columns unmasked')).toMatchObject({ ok: false });
  });

  test('are read as they are once the login may', async () => {
    await stage.client.execute('GRANT UNMASK ON TABLE objects.people TO reader');
    const backup = await takeBackup(stage.repository, source('READER'));
    const { problems } = await runRestore(
      restoreContext({ ...backup, source: source('SUPER') }, { into: { objects: 'unmasked' } }),
    );
    expect(problems).toEqual([]);
    const { rows } = await stage.client.execute('SELECT ssn FROM unmasked.people WHERE p = 3');
    expect(rows[0]?.ssn).toBe('secret 3');
  });
});

test('what is wrong with the connection is told once', async () => {
  const checks = await ycqlEngine.check(backupContext(stage.repository), source('SUPER', { port: 1 }));
  expect(checks).toEqual([expect.objectContaining({ name: 'source answers', ok: false })]);
});

test('that there is no login in the plan is said', async () => {
  const { credentials: _, ...anonymous } = source('SUPER');
  await expect(ycqlEngine.openReadPoint(backupContext(stage.repository), anonymous, 1)).rejects.toMatchObject(
    {
      code: 'YCQL_LOGIN_REFUSED',
      message: expect.stringContaining('no login in the plan'),
    },
  );
});

describe('the URL of a cluster', () => {
  const target = (url: string) => {
    process.env.YCQL_OBJECTS_URL = url;
    const secret: Parameters<typeof resolveTarget>[0]['secret'] = (reference) =>
      Promise.resolve(
        'env' in reference ? (process.env[reference.env] ?? '') : `content of ${reference.file}`,
      );
    return resolveTarget({ secret }, source('SUPER', { connection: { env: 'YCQL_OBJECTS_URL' } }));
  };

  test('names hosts by name and by address of either kind, and a stage.client certificate', async () => {
    expect(
      await target(
        'cql://me:p%25%40@one,[2001:db8::7],10.0.0.1:9999/?dc=a&ca=/c%20a&cert=/c&key=/k&servername=n',
      ),
    ).toEqual({
      contactPoints: ['one', '2001:db8::7', '10.0.0.1'],
      port: 9999,
      localDataCenter: 'a',
      login: { username: 'me', password: 'p%@' },
      tls: {
        rejectUnauthorized: true,
        ca: 'content of /c a',
        cert: 'content of /c',
        key: 'content of /k',
        servername: 'n',
      },
    });
    expect(await target('cql://[::1]/')).toEqual({ contactPoints: ['::1'], port: 9042 });
  });

  test.each([
    ['a bare %', 'cql://me:50%off@host/', /password has a % that begins/],
    ['an option that there is not', 'cql://host/?sertificate=/c', /no option sertificate/],
    ['a certificate without its key', 'cql://host/?cert=/c', /only one/],
    ['another form', 'postgres://host/', /another form/],
  ])('is refused with %s, without being told', async (_what, url, says) => {
    const refusal = await target(url).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(refusal).toMatchObject({ code: 'YCQL_BAD_URL', message: expect.stringMatching(says) });
    expect(String(refusal)).not.toContain('50%off');
  });
});
