import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import { query } from '../support/sql.ts';
import {
  backupContext,
  createRepository,
  restoreContext,
  runRestore,
  startServer,
  type TestBackup,
  type TestRepository,
  type TestServer,
  takeBackup,
  ysqlSource,
} from './harness.ts';

/** Every kind: empty, sparse, of a page and a byte, large; with owners, privileges and comments of their own. */
const OBJECTS = `
  SELECT lo_create(1000);
  SELECT lo_from_bytea(1001, 'x');
  SELECT lo_from_bytea(1002, decode(repeat('00ff5c0a', 512), 'hex') || '\\x5c');
  SELECT lo_create(1003); SELECT lo_put(1003, 1000000, 'far out');
  SELECT lo_from_bytea(1004, (SELECT string_agg(decode(md5(i::text), 'hex'), '' ORDER BY i) FROM generate_series(1, 100000) i));
  SELECT lo_from_bytea((2000 + i)::oid, convert_to('number ' || i, 'UTF8')) FROM generate_series(1, 500) i;
  COMMENT ON LARGE OBJECT 1001 IS E'it''s a "comment"\\nof two lines \\\\ and a backslash';
  ALTER LARGE OBJECT 1002 OWNER TO "Lo Owner";
  GRANT SELECT ON LARGE OBJECT 1002 TO lo_reader WITH GRANT OPTION;
  SET SESSION AUTHORIZATION lo_reader; GRANT SELECT ON LARGE OBJECT 1002 TO PUBLIC; RESET SESSION AUTHORIZATION;
  REVOKE UPDATE ON LARGE OBJECT 1004 FROM CURRENT_USER;
  CREATE TABLE documents (id int PRIMARY KEY, content oid); INSERT INTO documents SELECT i, 2000 + i FROM generate_series(1, 500) i`;

/** What is known of each large object, by number. */
const DESCRIPTION = `
  SELECT m.oid::text AS oid, pg_get_userbyid(lomowner) AS owner, lomacl::text AS acl, obj_description(m.oid, 'pg_largeobject') AS comment,
    md5(lo_get(m.oid)) AS content FROM pg_largeobject_metadata m ORDER BY m.oid`;

describe('large objects', () => {
  let server: TestServer;
  let repository: TestRepository;
  let backup: TestBackup;
  let original: unknown;

  beforeAll(async () => {
    server = await startServer();
    repository = await createRepository();
    await query(
      server.url(),
      'CREATE ROLE "Lo Owner"',
      'CREATE ROLE lo_reader',
      "CREATE ROLE lo_backup LOGIN PASSWORD 'secret'",
      'CREATE DATABASE archive',
    );
    await query(server.url('archive'), OBJECTS);
    backup = await takeBackup(repository, server.url('archive'), ysqlSource({ chunkBytes: 500_000 }));
    original = await query(server.url('archive'), DESCRIPTION);
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  const urlOf = (database: string, user: string) => {
    const url = new URL(server.url(database));
    url.username = user;
    url.password = 'secret';
    return url.href;
  };

  test('come back as they were: content, number, owner, privileges and comment', async () => {
    expect(original).toHaveLength(505);
    const outcome = await runRestore(
      restoreContext(backup, server.url(), { into: { archive: 'archive_2' }, check: 'content' }),
    );
    expect(outcome.problems).toEqual([]);
    expect(await query(server.url('archive_2'), DESCRIPTION)).toEqual(original);
  });

  test('are cut into chunks, so that a crash sends one of them again', () => {
    const pages = backup.objects.filter(({ table }) => table.table === 'pg_largeobject');
    expect(pages.length).toBeGreaterThan(3);
  });

  test('are of one instant with the tables', async () => {
    const source = ysqlSource({ chunkBytes: 500_000 });
    const meanwhile = () =>
      query(
        server.url('archive'),
        "SELECT lo_put(1001, 0, 'changed')",
        "SELECT lo_from_bytea(9999, 'new')",
        'SELECT lo_unlink(1000)',
      );
    const beside = await takeBackup(repository, server.url('archive'), source, meanwhile);
    await query(
      server.url('archive'),
      'SELECT lo_unlink(9999)',
      'SELECT lo_create(1000)',
      'SELECT lo_truncate(lo_open(1001, 131072), 1)',
      "SELECT lo_put(1001, 0, 'x')",
    );
    await runRestore(restoreContext(beside, server.url(), { into: { archive: 'archive_then' } }));
    expect(await query(server.url('archive_then'), DESCRIPTION)).toEqual(original);
  });

  test('come back by the restore kit alone', async () => {
    const folder = join(repository.path, backup.context.folder);
    const kit = ysqlEngine.restoreKit(backup.manifest, backup.objects);
    for (const { key, text } of kit) {
      await mkdir(dirname(join(folder, key)), { recursive: true });
      await writeFile(join(folder, key), text);
    }
    const guide = kit.find(({ key }) => key === 'RESTORE.md')?.text ?? '';
    const [, block = ''] = /^## Database.*?^```sh\n(.*?)^```$/ms.exec(guide) ?? [];
    const commands = block.split('\n').filter((line) => !line.includes('/database-'));
    await query(server.url(), 'CREATE DATABASE archive_kit');
    const url = new URL(server.url());
    await promisify(execFile)(
      'sh',
      ['-c', commands.join('\n').replace("PGDATABASE='archive'", 'PGDATABASE=archive_kit')],
      {
        cwd: folder,
        env: {
          ...process.env,
          PATH: `${server.binDirectory}:${process.env.PATH}`,
          PGHOST: url.hostname,
          PGPORT: url.port,
          PGUSER: url.username,
          PGPASSWORD: decodeURIComponent(url.password),
        },
      },
    );
    expect(await query(server.url('archive_kit'), DESCRIPTION)).toEqual(original);
  });

  test('are told as left out where the plan names the tables to include', async () => {
    const source = ysqlSource({ tables: { include: ['public.*'], exclude: [] } });
    const part = await takeBackup(repository, server.url('archive'), source);
    expect(part.manifest.databases[0]?.losses).toEqual([
      '505 large objects: the plan names the tables to include',
    ]);
    expect(part.objects.every(({ table }) => table.table === 'documents')).toBe(true);
  });

  test('are refused by name where the role may not read them, and carried where it may read all data', async () => {
    await query(server.url('archive'), 'GRANT SELECT ON ALL TABLES IN SCHEMA public TO lo_backup');
    const url = urlOf('archive', 'lo_backup');
    const opening = ysqlEngine.openReadPoint(backupContext(repository, url), ysqlSource(), 1);
    await expect(opening).rejects.toMatchObject({
      code: 'YSQL_CANNOT_READ',
      message: expect.stringContaining('pg_catalog.pg_largeobject (the database has 505 large objects)'),
    });
    await query(server.url('archive'), 'GRANT pg_read_all_data TO lo_backup');
    const theirs = await takeBackup(repository, url);
    expect(theirs.manifest.totals.rows).toBe(backup.manifest.totals.rows);
  });

  test('are restored by a role that is no superuser, all as its own', async () => {
    await query(server.url(), 'GRANT pg_read_all_data TO lo_backup', 'ALTER ROLE lo_backup CREATEDB');
    const context = restoreContext(backup, urlOf('postgres', 'lo_backup'), {
      into: { archive: 'archive_own' },
      owner: 'lo_backup',
      check: 'content',
    });
    const { problems } = await runRestore(context);
    expect(problems).toEqual([]);
    const owners = 'SELECT DISTINCT pg_get_userbyid(lomowner) AS owner FROM pg_largeobject_metadata';
    expect(await query(server.url('archive_own'), owners)).toEqual([{ owner: 'lo_backup' }]);
  });

  test('that are in the way are named before anything is written', async () => {
    await query(server.url(), 'CREATE DATABASE taken');
    await query(server.url('taken'), "SELECT lo_from_bytea(1001, 'mine')");
    const context = restoreContext(backup, server.url(), { into: { archive: 'taken' } });
    await expect(ysqlEngine.restore.plan(context)).rejects.toMatchObject({
      code: 'RESTORE_TARGET_NOT_EMPTY',
      message: expect.stringContaining('large object 1001'),
    });
  });

  test('come back with data alone', async () => {
    await query(server.url(), 'CREATE DATABASE data_alone');
    await query(server.url('data_alone'), 'CREATE TABLE documents (id int PRIMARY KEY, content oid)');
    const context = restoreContext(backup, server.url(), {
      into: { archive: 'data_alone' },
      contents: 'data',
    });
    expect((await runRestore(context)).problems).toEqual([]);
    expect(await query(server.url('data_alone'), DESCRIPTION)).toEqual(original);
  });
});
