import { ysqlEngine } from '../../engines/ysql/engine.ts';
import { HoldfastError } from '../../model/errors.ts';
import { PGBOUNCER_RUNS_HERE, type Pooler, type PoolMode, startPgbouncer } from '../../parts/pgbouncer.ts';
import { type PostgresServer, startPostgres } from '../../parts/postgres.ts';
import { forEachBounded } from '../../repository/bounded.ts';
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

/* A pooler in transaction mode gives each transaction any session of the server: what was SET before is another session's. */

const SETTINGS = [
  "SET extra_float_digits = '-5'",
  "SET DateStyle = 'SQL, DMY'",
  "SET IntervalStyle = 'sql_standard'",
  "SET bytea_output = 'escape'",
  "SET TimeZone = 'Asia/Kolkata'",
];

const ALL_ROWS = `SELECT md5(string_agg(t::text, '|' ORDER BY id)) AS digest, count(*)::int AS rows FROM numbers t`;

/** The same text whatever the database's own settings are. */
async function digest(url: string): Promise<unknown> {
  return await query(url, 'SET extra_float_digits = 3', "SET DateStyle = 'ISO'", ALL_ROWS);
}

(PGBOUNCER_RUNS_HERE ? describe : describe.skip)('behind a pooler', () => {
  let server: PostgresServer;
  let repository: TestRepository;

  beforeAll(async () => {
    server = await startPostgres();
    repository = await createRepository();
    await query(
      server.url(),
      'CREATE DATABASE floats',
      ...SETTINGS.map((setting) => `ALTER DATABASE floats ${setting}`),
    );
    await query(
      server.url('floats'),
      'CREATE TABLE numbers (id int PRIMARY KEY, f float8, t timestamptz, i interval)',
      `INSERT INTO numbers SELECT i, random(), now() + i * interval '1 day', i * interval '1 hour 3 seconds' FROM generate_series(1, 30000) i`,
    );
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  async function through<T>(mode: PoolMode, work: (pooler: Pooler) => Promise<T>): Promise<T> {
    const pooler = await startPgbouncer(server, mode);
    try {
      return await work(pooler);
    } finally {
      await pooler.stop();
    }
  }

  /** As the workflow, which reads six chunks at a time. */
  async function wideBackup(url: string) {
    const context = backupContext(repository, url);
    const source = ysqlSource({ chunkBytes: 100_000 });
    const { readPoint, held } = await ysqlEngine.openReadPoint(context, source, 1);
    try {
      const exported = await ysqlEngine.export(context, source, readPoint);
      const texts: number[] = [];
      await forEachBounded(exported.chunks, 6, async (chunk) => {
        const objects = await ysqlEngine.upload(context, source, readPoint, [chunk], { zstdLevel: 1 });
        for (const { bytes } of objects) texts.push(bytes);
      });
      return texts.reduce((sum, bytes) => sum + bytes, 0);
    } finally {
      await held?.close();
    }
  }

  test('in transaction mode a backup is exact, or refused with what to do', async () => {
    const direct = await wideBackup(server.url('floats'));
    await through('transaction', async (pooler) => {
      for (let round = 0; round < 3; round += 1) {
        const outcome = await wideBackup(pooler.url('floats')).catch((error: unknown) => error);
        if (outcome instanceof HoldfastError) {
          expect(outcome).toMatchObject({
            code: 'YSQL_POOLER',
            transient: false,
            remedy: expect.stringContaining('directly'),
          });
        } else expect({ round, bytes: outcome }).toEqual({ round, bytes: direct });
      }
    });
  });

  test('in transaction mode a restore is refused before anything is created', async () => {
    const backup = await takeBackup(repository, server.url('floats'));
    await through('transaction', async (pooler) => {
      const context = restoreContext(backup, pooler.url('postgres'), { into: { floats: 'floats_pooled' } });
      await expect(runRestore(context)).rejects.toMatchObject({ code: 'YSQL_POOLER' });
    });
    expect(
      await query(server.url(), "SELECT datname FROM pg_database WHERE datname LIKE 'floats_%'"),
    ).toEqual([]);
  });

  test('where it ignores the options of the dump program, the schema is read as the program wrote it', async () => {
    await query(
      server.url(),
      'CREATE DATABASE slashes',
      'ALTER DATABASE slashes SET standard_conforming_strings = off',
    );
    await query(
      server.url('slashes'),
      'SET standard_conforming_strings = on',
      "CREATE TABLE t (a text DEFAULT 'x\\y' CHECK (a <> 'z\\'))",
    );
    const defaults = "SELECT pg_get_expr(adbin, adrelid) AS is FROM pg_attrdef WHERE adrelid = 't'::regclass";
    const checks = "SELECT pg_get_constraintdef(oid) AS is FROM pg_constraint WHERE conrelid = 't'::regclass";
    await through('session', async (pooler) => {
      const backup = await takeBackup(repository, pooler.url('slashes'));
      await runRestore(restoreContext(backup, server.url(), { into: { slashes: 'slashes_again' } }));
    });
    for (const what of [defaults, checks]) {
      const on = 'SET standard_conforming_strings = on';
      expect(await query(server.url('slashes_again'), on, what)).toEqual(
        await query(server.url('slashes'), on, what),
      );
    }
  });

  test('in session mode a backup is exact', async () => {
    await through('session', async (pooler) => {
      const backup = await takeBackup(repository, pooler.url('floats'));
      const outcome = await runRestore(
        restoreContext(backup, server.url('floats'), { into: { floats: 'floats_again' } }),
      );
      expect(outcome.problems).toEqual([]);
      expect(await digest(server.url('floats_again'))).toEqual(await digest(server.url('floats')));
    });
  });
});
