import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type Server } from 'node:tls';
import { ycqlEngine } from '../../engines/ycql/engine.ts';
import { HoldfastError, READ_POINT_LOST } from '../../model/errors.ts';
import type { YcqlSource } from '../../model/pipeline.ts';
import { OTHER, SERVER } from './certificates.ts';
import {
  backupContext,
  restoreContext,
  runRestore,
  type TestBackup,
  takeBackup,
  ycqlSource,
} from './harness.ts';
import { useCassandra } from './stage.ts';

/* One clear error, or a graceful way round it, and nothing half-written without a trace. */

const stage = useCassandra({
  authentication: true,
  settings: { tombstone_failure_threshold: '2000', tombstone_warn_threshold: '1000' },
});
let backup: TestBackup;

beforeAll(async () => {
  process.env.YCQL_TEST_USER = 'cassandra';
  process.env.YCQL_TEST_PASSWORD = 'cassandra';
  for (const statement of [
    "CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    'CREATE TABLE shop.orders (p int, c int, v text, n int, PRIMARY KEY (p, c))',
    'CREATE TABLE shop.counted (p int PRIMARY KEY, hits counter)',
    'CREATE TABLE shop.far (p int PRIMARY KEY, v text)',
    "CREATE KEYSPACE odd WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    'CREATE TYPE odd."text" (a int)',
    'CREATE TYPE odd."byte" (a int)',
    'CREATE TYPE odd."list" (a int)',
    'CREATE TYPE odd.usual (a int)',
    'CREATE TABLE odd.t (p int PRIMARY KEY, f frozen<"text">, w "text", b "byte", l "list", u usual, v text)',
    "CREATE ROLE clerk WITH PASSWORD = 'clerk' AND LOGIN = true",
    'GRANT SELECT ON KEYSPACE shop TO clerk',
  ])
    await stage.client.execute(statement);
  for (let row = 0; row < 300; row += 1) {
    await stage.client.execute(
      'INSERT INTO shop.orders (p, c, v, n) VALUES (?, ?, ?, ?)',
      [row % 10, row, `v${row}`, row],
      { prepare: true },
    );
    if (row % 10 === 0)
      await stage.client.execute('UPDATE shop.counted SET hits = hits + 3 WHERE p = ?', [row], {
        prepare: true,
      });
  }
  backup = await takeBackup(stage.repository, source());
});

function source(changes: Partial<YcqlSource> = {}): YcqlSource {
  return ycqlSource(stage.cluster, {
    credentials: { username: { env: 'YCQL_TEST_USER' }, password: { env: 'YCQL_TEST_PASSWORD' } },
    keyspaces: { include: ['shop'], exclude: [] },
    ...changes,
  });
}

const only = (...include: string[]) => ({ include, exclude: [] });

const SOURCES: readonly (readonly [
  what: string,
  changes: () => Partial<YcqlSource>,
  code: string,
  says: RegExp,
])[] = [
  [
    'no such keyspace',
    () => ({ keyspaces: only('shoop') }),
    'YCQL_NO_KEYSPACE',
    /There is no keyspace shoop; the server has .*shop/,
  ],
  [
    'no such table',
    () => ({ tables: only('shop.ordres') }),
    'YCQL_NO_TABLE',
    /There is no table shop\.ordres/,
  ],
  [
    'a wrong data centre',
    () => ({ localDataCenter: 'mars' }),
    'YCQL_NO_SUCH_DATA_CENTER',
    /mars was not found.*datacenter1/,
  ],
  [
    'no login where one is asked for',
    () => ({ credentials: undefined as never }),
    'YCQL_LOGIN_REFUSED',
    /requires authentication|Authentication provider/i,
  ],
  [
    'a wrong password',
    () => ({ credentials: { username: { env: 'YCQL_TEST_USER' }, password: { env: 'YCQL_TEST_WRONG' } } }),
    'YCQL_LOGIN_REFUSED',
    /^Failed to connect to [^:]*: the server refused the login: .*username .*password/,
  ],
  [
    'a contact point whose name does not resolve',
    () => ({ contactPoints: ['nowhere.invalid'] }),
    'YCQL_UNAVAILABLE',
    /nowhere\.invalid.*: no name of a contact point resolves to an address/,
  ],
  [
    'types that are named as the server names its own',
    () => ({ keyspaces: only('odd') }),
    'YCQL_CANNOT_CARRY',
    /: odd\."byte", odd\."list", odd\."text"\. /,
  ],
  ['TLS to a server without', () => ({ tls: { verify: false } }), 'YCQL_TLS', /no node answered/],
  ['nothing that listens', () => ({ port: 1 }), 'YCQL_UNAVAILABLE', /ECONNREFUSED/],
  [
    'a secret that is not there',
    () => ({ credentials: { username: { env: 'YCQL_TEST_USER' }, password: { file: '/nowhere' } } }),
    'SECRET_MISSING',
    /nowhere/,
  ],
];

test.each(SOURCES)('a backup with %s is refused in one sentence', async (_what, changes, code, says) => {
  process.env.YCQL_TEST_WRONG = 'wrong';
  const { resolveSecret } = await import('../../engines/resolve-secret.ts');
  const context = backupContext(stage.repository, { secret: resolveSecret });
  const { credentials, ...others } = source(changes());
  const wanted = credentials === undefined ? others : { ...others, credentials };
  const failure = await ycqlEngine.openReadPoint(context, wanted, 1).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(HoldfastError);
  expect(failure).toMatchObject({ code, message: expect.stringMatching(says) });
  if (failure instanceof HoldfastError) expect(failure.remedy.length).toBeGreaterThan(10);
});

test('a role without permission is refused with the permission it lacks', async () => {
  process.env.YCQL_TEST_CLERK = 'clerk';
  const clerk = source({
    credentials: { username: { env: 'YCQL_TEST_CLERK' }, password: { env: 'YCQL_TEST_CLERK' } },
  });
  const made = await takeBackup(stage.repository, clerk);
  expect(made.manifest.totals.rows).toBe(backup.manifest.totals.rows);
  const restoring = runRestore(restoreContext({ ...backup, source: clerk }, { into: { shop: 'stolen' } }));
  await expect(restoring).rejects.toMatchObject({
    code: 'YCQL_FAILED',
    message: expect.stringContaining('clerk'),
    remedy: expect.stringContaining('permission'),
  });
});

test('a plain connection to a port that speaks TLS is refused with what to look at', async () => {
  const server = createServer((socket) => socket.on('error', () => undefined));
  // The driver's bytes are no greeting of TLS, and the server hangs up.
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  try {
    await expect(
      ycqlEngine.openReadPoint(backupContext(stage.repository), source({ port }), 1),
    ).rejects.toMatchObject({
      code: 'YCQL_UNAVAILABLE',
      remedy: expect.stringContaining('whether they ask for TLS'),
    });
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

describe('a stage.cluster that asks for TLS and a certificate', () => {
  let folder: string;
  let port: number;
  let server: Server;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-tls-'));
    for (const [name, { certificate, key }] of Object.entries({ server: SERVER, other: OTHER })) {
      await writeFile(join(folder, `${name}.crt`), certificate);
      await writeFile(join(folder, `${name}.key`), key);
    }
    const { certificate, key } = SERVER;
    // Stands before the cluster, and takes off TLS.
    server = createServer({ cert: certificate, key, ca: certificate, requestCert: true }, (socket) => {
      const behind = connect(stage.cluster.port, '127.0.0.1');
      socket.pipe(behind).pipe(socket);
      for (const end of [socket, behind]) {
        end.on('error', () => {
          socket.destroy();
          behind.destroy();
        });
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    port = typeof address === 'object' && address !== null ? address.port : 0;
  });

  afterAll(async () => {
    server.close();
    await rm(folder, { recursive: true });
  });

  const file = (name: string) => join(folder, name);
  const withTls = async (authority: string, own: string | undefined) => {
    const { resolveSecret } = await import('../../engines/resolve-secret.ts');
    return await takeBackup(
      stage.repository,
      source({
        port,
        tables: only('shop.orders'),
        tls: {
          verify: true,
          caFile: file(`${authority}.crt`),
          ...(own === undefined
            ? {}
            : { certificate: { certificateFile: file(`${own}.crt`), key: { file: file(`${own}.key`) } } }),
        },
      }),
      undefined,
      { secret: resolveSecret },
    );
  };

  test('is backed up with the authority and the certificate that the plan names', async () => {
    expect((await withTls('server', 'server')).manifest.totals.rows).toBe(300);
  });

  test.each([
    ['another authority than its own', 'other', 'server'],
    ['no certificate', 'server', undefined],
  ])('refuses %s in one sentence', async (_what, authority, own) => {
    await expect(withTls(authority, own)).rejects.toMatchObject({
      code: 'YCQL_TLS',
      remedy: expect.stringContaining('client certificate'),
    });
  });

  test('is named by a URL with its authority, and a file that is not there is named', async () => {
    process.env.YCQL_TEST_URL = `cql://cassandra:cassandra@127.0.0.1:${port}/?ca=${file('gone.crt')}`;
    const { resolveSecret } = await import('../../engines/resolve-secret.ts');
    const opening = ycqlEngine.openReadPoint(
      backupContext(stage.repository, { secret: resolveSecret }),
      source({ connection: { env: 'YCQL_TEST_URL' } }),
      1,
    );
    await expect(opening).rejects.toMatchObject({
      code: 'SECRET_MISSING',
      message: expect.stringContaining('gone.crt'),
    });
  });
});

test('a contact point that does not answer is passed over for one that does', async () => {
  const { manifest } = await takeBackup(
    stage.repository,
    source({ contactPoints: ['127.0.0.213', ...stage.cluster.contactPoints], tables: only('shop.orders') }),
  );
  expect(manifest.totals.rows).toBe(300);
});

test('a table that changes while it is read ends the epoch', async () => {
  const changing = takeBackup(stage.repository, source(), async () => {
    await stage.client.execute('ALTER TABLE shop.far ADD w int');
  });
  await expect(changing).rejects.toMatchObject({
    code: READ_POINT_LOST,
    message: expect.stringContaining('shop.far'),
  });
});

test('tombstones that make pages fail are got round by smaller pages; those that fail any are named', async () => {
  await stage.client.execute('CREATE TABLE shop.heavy (p int, c int, v text, PRIMARY KEY (p, c))');
  for (let c = 0; c < 4_000; c += 1) {
    await stage.client.execute('INSERT INTO shop.heavy (p, c, v) VALUES (1, ?, ?)', [c, 'x'], {
      prepare: true,
    });
    if (c % 3 !== 0)
      await stage.client.execute('DELETE FROM shop.heavy WHERE p = 1 AND c = ?', [c], { prepare: true });
  }
  const logged: string[] = [];
  const made = await takeBackup(
    stage.repository,
    source({ tables: only('shop.heavy'), load: { inFlightPerNode: 4, pageRows: 5_000 } }),
    undefined,
    { log: (message) => logged.push(message) },
  );
  expect(made.manifest.totals.rows).toBe(1_334);
  await stage.client.execute('DROP TABLE shop.heavy');
});

test('a partition larger than a chunk is cut into several objects', async () => {
  const made = await takeBackup(
    stage.repository,
    source({ tables: only('shop.orders'), chunkBytes: 2_000, load: { inFlightPerNode: 4, pageRows: 10 } }),
  );
  const rows = made.objects.map(({ rows: count }) => count);
  expect(rows.reduce((sum, count) => sum + count, 0)).toBe(300);
  expect(rows.length).toBeGreaterThan(10);
});

test('rows per second are bounded', async () => {
  const startedAt = Date.now();
  await takeBackup(
    stage.repository,
    source({ tables: only('shop.orders'), load: { inFlightPerNode: 4, pageRows: 50, rowsPerSecond: 100 } }),
  );
  // 300 rows at 100 a second, of which the last page is not waited for.
  expect(Date.now() - startedAt).toBeGreaterThan(2_000);
});

const RESTORES: readonly (readonly [
  what: string,
  before: readonly string[],
  request: Parameters<typeof restoreContext>[1],
  code: string,
  says: RegExp,
])[] = [
  ['--replace', [], { replace: true }, 'RESTORE_CANNOT_REPLACE', /can’t be renamed/],
  ['an owner', [], { owner: 'me' }, 'RESTORE_NO_OWNERS', /no owner/],
  ['no table that matches', [], { tables: only('shop.nothing') }, 'RESTORE_NO_SUCH_TABLE', /shop\.nothing/],
  [
    'a keyspace the backup lacks',
    [],
    { into: { store: 'x' } },
    'RESTORE_NO_SUCH_DATABASE',
    /no keyspace store; it holds shop/,
  ],
  ['a bad name', [], { into: { shop: 'a-b' } }, 'RESTORE_BAD_NAME', /a-b/],
  ['tables that are there', [], { into: { shop: 'shop' } }, 'RESTORE_TABLE_EXISTS', /shop\.\w+ already/],
  [
    'rows without a keyspace',
    [],
    { into: { shop: 'nowhere' }, contents: 'data' },
    'RESTORE_TABLE_MISSING',
    /no keyspace nowhere/,
  ],
  [
    'rows into a table with other columns',
    ['CREATE TABLE IF NOT EXISTS odd.orders (p int, c text, v text, PRIMARY KEY (p, c))'],
    { into: { shop: 'odd' }, contents: 'data', tables: only('shop.orders') },
    'RESTORE_TABLE_DIFFERS',
    /column c is text \(clustering key 1\) instead of int \(clustering key 1\); it lacks column n int/,
  ],
  [
    'counters that count already',
    [],
    { into: { shop: 'shop' }, contents: 'data', tables: only('shop.counted') },
    'RESTORE_COUNTERS_NOT_EMPTY',
    /shop\.counted counts already/,
  ],
];

test.each(RESTORES)(
  'a restore with %s is refused before anything is written',
  async (_what, before, request, code, says) => {
    await stage.client.execute(
      "CREATE KEYSPACE IF NOT EXISTS odd WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    );
    for (const statement of before) await stage.client.execute(statement);
    const keyspaces = async () =>
      (await stage.client.execute('SELECT keyspace_name FROM system_schema.keyspaces')).rows
        .map(({ keyspace_name }) => keyspace_name)
        .sort();
    const there = await keyspaces();
    const planning = ycqlEngine.restore.plan(restoreContext(backup, request));
    await expect(planning).rejects.toMatchObject({ code, message: expect.stringMatching(says) });
    expect(await keyspaces()).toEqual(there);
  },
);

test('rows go into tables that match, and a restore that is given up drops what it created and nothing else', async () => {
  await stage.client.execute(
    "CREATE KEYSPACE held WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
  );
  await stage.client.execute('CREATE TABLE held.mine (p int PRIMARY KEY)');
  const begun = restoreContext(backup, { into: { shop: 'held' } });
  await ycqlEngine.restore.plan(begun);
  await ycqlEngine.restore.prepare(begun);
  // A second restore sees that one is at work.
  const second = ycqlEngine.restore.plan(restoreContext(backup, { into: { shop: 'held' } }));
  await expect(second).rejects.toMatchObject({
    code: 'RESTORE_NOT_OURS',
    message: expect.stringContaining(begun.request.restore),
  });
  await ycqlEngine.restore.load(begun, 0);
  await ycqlEngine.restore.discard(begun);
  const left = await stage.client.execute(
    "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'held'",
  );
  expect(left.rows.map(({ table_name }) => table_name)).toEqual(['mine']);

  await stage.client.execute('CREATE TABLE held.orders (p int, c int, v text, n int, PRIMARY KEY (p, c))');
  const { problems } = await runRestore(
    restoreContext(backup, { into: { shop: 'held' }, contents: 'data', tables: only('shop.orders') }),
  );
  expect(problems).toEqual([]);
  const { rows } = await stage.client.execute('SELECT count(*) AS n FROM held.orders');
  expect(Number(rows[0]?.n)).toBe(300);
});

test('a table that somebody makes while a restore begins is not taken for the restore’s, nor dropped with it', async () => {
  await stage.client.execute(
    "CREATE KEYSPACE raced WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
  );
  const begun = restoreContext(backup, { into: { shop: 'raced' } });
  await ycqlEngine.restore.plan(begun);
  await stage.client.execute('CREATE TABLE raced.orders (p int, c int, v text, n int, PRIMARY KEY (p, c))');
  await stage.client.execute("INSERT INTO raced.orders (p, c, v) VALUES (1, 1, 'theirs')");
  await expect(ycqlEngine.restore.prepare(begun)).rejects.toMatchObject({ code: 'RESTORE_TABLE_EXISTS' });
  await ycqlEngine.restore.discard(begun);
  const { rows } = await stage.client.execute('SELECT v FROM raced.orders');
  expect(rows.map(({ v }) => v)).toEqual(['theirs']);
  const left = await stage.client.execute(
    "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'raced'",
  );
  expect(left.rows.map(({ table_name }) => table_name)).toEqual(['orders']);
});

test('roles and their grants come along when they are asked for', async () => {
  const made = await takeBackup(
    stage.repository,
    source({ globals: 'roles-with-passwords', tables: only('shop.far') }),
  );
  await stage.client.execute('DROP ROLE clerk');
  const { problems } = await runRestore(restoreContext(made, { into: { shop: 'staffed' }, globals: true }));
  expect(problems).toEqual([]);
  const { rows } = await stage.client.execute(
    "SELECT role, can_login FROM system_auth.roles WHERE role = 'clerk'",
  );
  expect(rows).toMatchObject([{ role: 'clerk', can_login: true }]);
});
