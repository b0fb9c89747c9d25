import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkSource } from '../../engines/ysql/check.ts';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import { isRestoreName } from '../../engines/ysql/server/restore-names.ts';
import { scratchName } from '../../model/drill.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { startStandby } from '../../parts/standby.ts';
import { query } from '../support/sql.ts';
import {
  backupContext,
  createRepository,
  restoreContext,
  runRestore,
  type TestRepository,
  takeBackup,
  ysqlSource,
} from './harness.ts';

/* What a source's databases carry and what went wrong with it; each file of `cases/` was made after a public report. */

function sqlOf(name: string): Promise<string> {
  return readFile(join(import.meta.dirname, 'cases', `${name}.sql`), 'utf8');
}

function pattern(...include: readonly string[]) {
  return ysqlSource({ databases: { include, exclude: [] } });
}

describe('what a database carries', () => {
  let server: PostgresServer;
  let repository: TestRepository;

  beforeAll(async () => {
    server = await startPostgres();
    repository = await createRepository();
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  async function logged(source: ReturnType<typeof ysqlSource>) {
    const lines: string[] = [];
    const context = backupContext(repository, server.url(), {
      log: (message, fields) => lines.push(`${message} ${JSON.stringify(fields)}`),
    });
    const { readPoint, held } = await ysqlEngine.openReadPoint(context, source, 1);
    await held?.close();
    return { lines, databases: readPoint.kind === 'pg-snapshot' ? Object.keys(readPoint.snapshots) : [] };
  }

  test('settings that make every session read-only, deferrable and a replica: all of it works, and they come back', async () => {
    await query(server.url(), 'CREATE DATABASE readonly');
    await query(server.url('readonly'), await sqlOf('readonly-database'));
    const settings = (name: string) =>
      query(
        server.url(),
        `SELECT unnest(setconfig) AS setting FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
         WHERE datname = '${name}' ORDER BY 1`,
      );
    const backup = await takeBackup(repository, server.url('readonly'));
    const scratch = restoreContext(backup, server.url(), { scratch: true });
    expect((await runRestore(scratch)).problems).toEqual([]);
    await ysqlEngine.restore.discard(scratch);
    const replaced = await runRestore(restoreContext(backup, server.url(), { replace: true }));
    expect(replaced.problems).toEqual([]);
    expect(await settings('readonly')).toHaveLength(4);
    const [{ kept } = {}] = replaced.databases;
    expect(await settings('readonly')).toEqual(await settings(kept ?? ''));
    const [{ left } = {}] = await query(
      server.url(),
      "SELECT count(*)::int AS left FROM pg_database WHERE datname LIKE '%restoring%'",
    );
    expect(left).toBe(0);
  });

  test('an invalid database is left out and told, and the good one is backed up', async () => {
    await query(server.url(), 'CREATE DATABASE case07_good', 'CREATE DATABASE case07_broken');
    await query(server.url(), "UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'case07_broken'");
    const { lines, databases } = await logged(pattern('case07*'));
    expect(databases).toEqual(['case07_good']);
    expect(lines.join('\n')).toMatch(/case07_broken: it is invalid/);
    expect((await takeBackup(repository, server.url(), pattern('case07*'))).manifest.databases).toMatchObject(
      [{ name: 'case07_good' }],
    );
  });

  test('databases of restores are not matched by a pattern, and told once; a name in full takes them', async () => {
    const kept = 'own_before_20261129t101112z_0a1b';
    const working = 'own_restoring_drill_m1abcde2';
    for (const name of ['own', kept, working, 'own_before_the_accident']) {
      await query(server.url(), `CREATE DATABASE ${name}`);
    }
    const { lines, databases } = await logged(pattern('own*'));
    expect(databases).toEqual(['own', 'own_before_the_accident']);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(kept);
    expect(lines[0]).toContain(working);
    expect((await logged(pattern(kept))).databases).toEqual([kept]);
    expect(isRestoreName(`own_restoring_${scratchName('doctor', new Date())}`)).toBe(true);
    expect(isRestoreName('orders_before_migration')).toBe(false);
  });

  test('a database that vanishes after it was listed fails no backup by pattern', async () => {
    for (const name of ['gone_a', 'gone_b', 'gone_c']) await query(server.url(), `CREATE DATABASE ${name}`);
    let dropped = false;
    const lines: string[] = [];
    // The secret is asked for before the list: the holder of the first database is a good moment to drop the last.
    const context = backupContext(repository, server.url(), { log: (message) => lines.push(message) });
    const { Client } = await import('pg').then((library) => library.default);
    const original = Client.prototype.query;
    const spy = jest.spyOn(Client.prototype, 'query').mockImplementation(function (
      this: InstanceType<typeof Client>,
      ...args: unknown[]
    ) {
      if (dropped || this.database !== 'gone_a') return Reflect.apply(original, this, args);
      dropped = true;
      return query(server.url(), 'DROP DATABASE gone_c').then(() => Reflect.apply(original, this, args));
    });
    try {
      const { readPoint, held } = await ysqlEngine.openReadPoint(context, pattern('gone*'), 1);
      await held?.close();
      expect(Object.keys(readPoint.kind === 'pg-snapshot' ? readPoint.snapshots : {})).toEqual([
        'gone_a',
        'gone_b',
      ]);
      expect(lines).toEqual(['a database that a pattern matched was dropped before it was read']);
    } finally {
      spy.mockRestore();
    }
  });

  test('a database in MULE_INTERNAL is refused by its name', async () => {
    await query(server.url(), "CREATE DATABASE mule TEMPLATE template0 ENCODING 'MULE_INTERNAL' LOCALE 'C'");
    await expect(logged(pattern('mule*'))).rejects.toMatchObject({
      code: 'YSQL_CANNOT_CARRY',
      message: expect.stringContaining('mule'),
    });
    const context = backupContext(repository, server.url('mule'));
    await expect(ysqlEngine.openReadPoint(context, ysqlSource(), 1)).rejects.toMatchObject({
      code: 'YSQL_CANNOT_CARRY',
      transient: false,
      message: expect.stringContaining('mule'),
    });
  });

  test('a database without a table is told by doctor and by its backup', async () => {
    await query(server.url(), 'CREATE DATABASE bare');
    const checks = await checkSource(backupContext(repository, server.url('bare')), ysqlSource());
    expect(checks.find(({ name }) => name === 'tables')).toMatchObject({
      ok: true,
      detail: '0 tables in 1 database; no table that this role can see in bare',
      remedy: expect.stringContaining('right database'),
    });
    expect((await takeBackup(repository, server.url('bare'))).manifest.databases[0]?.losses).toEqual([
      expect.stringContaining('this role sees none'),
    ]);
    await query(server.url('bare'), 'CREATE TABLE t (a int)');
    const [, ...later] = await checkSource(backupContext(repository, server.url('bare')), ysqlSource());
    expect(later.find(({ name }) => name === 'tables')).toEqual({
      name: 'tables',
      ok: true,
      detail: '1 table in 1 database',
    });
  });

  test('a setting that hides damage and that the role can’t reset is refused', async () => {
    await query(server.url(), 'CREATE DATABASE damaged', "CREATE ROLE plain LOGIN PASSWORD 'p'");
    await query(server.url(), 'ALTER DATABASE damaged SET zero_damaged_pages = on');
    const url = new URL(server.url('damaged'));
    url.username = 'plain';
    url.password = 'p';
    const context = backupContext(repository, url.href);
    await expect(ysqlEngine.openReadPoint(context, ysqlSource(), 1)).rejects.toMatchObject({
      code: 'YSQL_SETTING',
      message: expect.stringContaining('zero_damaged_pages is on'),
    });
    expect((await takeBackup(repository, server.url('damaged'))).manifest.databases).toHaveLength(1);
  });

  test('a standby: what its unlogged tables hold is left out and told, everything else comes back', async () => {
    await query(server.url(), 'CREATE DATABASE unlogged');
    await query(server.url('unlogged'), await sqlOf('standby-unlogged'), 'CHECKPOINT');
    const standby = await startStandby(server);
    try {
      const backup = await takeBackup(repository, standby.url('unlogged'));
      const [database] = backup.manifest.databases;
      expect(database?.losses).toEqual([
        'what public.cache holds: it is unlogged, and the source is a standby, which has none of it',
      ]);
      expect(database?.tables.map(({ table }) => table)).toEqual(['t']);
      const context = restoreContext(backup, server.url(), { into: { unlogged: 'unlogged_again' } });
      expect((await runRestore(context)).problems).toEqual([]);
      expect(
        await query(
          server.url('unlogged_again'),
          'SELECT (SELECT count(*)::int FROM t) AS t, (SELECT count(*)::int FROM cache) AS cache',
        ),
      ).toEqual([{ t: 1000, cache: 0 }]);
    } finally {
      await standby.stop();
    }
  });
});
