import { query } from '../support/sql.ts';
import { compareDatabases } from './compare.ts';
import {
  createRepository,
  restoreContext,
  runRestore,
  startServer,
  type TestRepository,
  type TestServer,
  takeBackup,
  ysqlSource,
} from './harness.ts';

describe('databases of other encodings, and roles that are no superuser', () => {
  let server: TestServer;
  let repository: TestRepository;

  beforeAll(async () => {
    server = await startServer();
    repository = await createRepository();
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  test.each([
    ['latin', 'LATIN1', 'chr(233) || chr(255)', 'größe'],
    ['ascii', 'SQL_ASCII', "convert_from('\\xe9ff80'::bytea, 'SQL_ASCII')", 'size'],
    ['japanese', 'EUC_JP', "convert_from('\\xe58b95e789a9'::bytea, 'UTF8')", 'size'],
  ])('%s: %s comes back byte for byte', async (name, encoding, value, column) => {
    await query(server.url(), `CREATE DATABASE ${name} TEMPLATE template0 ENCODING '${encoding}'`);
    await query(server.url(name), `CREATE TABLE t ("${column}" text)`, `INSERT INTO t SELECT ${value}`);
    const backup = await takeBackup(repository, server.url(name));
    const outcome = await runRestore(restoreContext(backup, server.url(), { restore: `enc_${name}` }));
    expect(outcome.problems).toEqual([]);
    expect(await bytesOf(`${name}_restored_enc_${name}`, column)).toEqual(await bytesOf(name, column));
    expect(
      await compareDatabases(server, server.url(name), server.url(`${name}_restored_enc_${name}`)),
    ).toEqual([]);
  });

  async function bytesOf(database: string, column: string) {
    return await query(
      server.url(database),
      `SELECT encode(convert_to("${column}", getdatabaseencoding()), 'hex') AS bytes FROM t`,
    );
  }

  test('money keeps its amount whatever lc_monetary the databases have', async () => {
    await query(server.url(), 'CREATE DATABASE till', "ALTER DATABASE till SET lc_monetary = 'C.UTF-8'");
    await query(server.url('till'), "CREATE TABLE m AS SELECT '-1234567.89'::money AS amount");
    const backup = await takeBackup(repository, server.url('till'));
    await runRestore(restoreContext(backup, server.url(), { into: { till: 'till_2' } }));
    expect(await query(server.url('till_2'), 'SELECT amount::numeric::text FROM m')).toEqual([
      { amount: '-1234567.89' },
    ]);
  });

  test('a role that may read all data backs up, and one that may create databases restores', async () => {
    await query(
      server.url(),
      "CREATE ROLE reader LOGIN PASSWORD 'r' IN ROLE pg_read_all_data",
      "CREATE ROLE owner_ LOGIN PASSWORD 'o' CREATEDB",
      'CREATE DATABASE modest OWNER owner_',
    );
    await query(
      server.url('modest'),
      `SET ROLE owner_; CREATE SCHEMA mine; CREATE TABLE mine.t (id serial PRIMARY KEY, parent int REFERENCES mine.t);
       INSERT INTO mine.t (parent) SELECT NULLIF(i, 0) FROM generate_series(0, 999) i`,
    );
    const backup = await takeBackup(
      repository,
      as('reader', 'r', 'modest'),
      ysqlSource({ globals: 'roles' }),
    );
    const outcome = await runRestore(
      restoreContext(backup, as('owner_', 'o', 'modest'), { into: { modest: 'modest_2' } }),
    );
    expect(outcome.problems).toEqual([]);
    expect(await compareDatabases(server, server.url('modest'), server.url('modest_2'))).toEqual([]);
  });

  function as(user: string, password: string, database: string): string {
    const url = new URL(server.url(database));
    url.username = user;
    url.password = password;
    return url.href;
  }
});
