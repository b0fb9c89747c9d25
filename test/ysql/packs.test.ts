import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PIECE_BYTES } from '../../engines/pack-writer.ts';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import { type DataObject, dataObjectName } from '../../model/backup.ts';
import { ensureRepository } from '../../repository/repository.ts';
import type { Store } from '../../repository/store.ts';
import { backupSide, newPeople, restoreSide } from '../repository/encryption/recipients.ts';
import { query } from '../support/sql.ts';
import { compareDatabases } from './compare.ts';
import {
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

const TABLES = 300;
const CHUNK_BYTES = 16 * 1024 * 1024;

/** Small tables with everything beside them that may share a task with them: an empty one, a large one, partitions, and types without a stable binary form. */
describe('small tables in packs', () => {
  let server: TestServer;
  let repository: TestRepository;
  let restores = 0;
  const backups = new Map<string, TestBackup>();

  beforeAll(async () => {
    server = await startServer();
    repository = await createRepository();
    await query(server.url(), 'CREATE DATABASE packed');
    await query(
      server.url('packed'),
      "CREATE TYPE mood AS ENUM ('sad', 'glad')",
      `DO $$ BEGIN FOR i IN 1..${TABLES} LOOP
         EXECUTE format('CREATE TABLE t%s (id bigint PRIMARY KEY, name text, moods mood%s)', i, CASE WHEN i % 3 = 0 THEN '[]' ELSE '' END);
         EXECUTE format('INSERT INTO t%s SELECT n, md5((n * %s)::text) FROM generate_series(1, %s) n', i, i, i % 7);
       END LOOP; END $$`,
      'CREATE TABLE no_columns (); INSERT INTO no_columns DEFAULT VALUES',
      // Hardly compressible, and larger than a piece may be.
      `CREATE TABLE large AS SELECT n AS id, string_agg(md5((n * 1000 + i)::text), '' ORDER BY i) AS noise
       FROM generate_series(1, 1000) n, generate_series(1, 80) i GROUP BY n`,
      `CREATE TABLE parted (id int, note text) PARTITION BY RANGE (id);
       CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10);
       CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (10) TO (20);
       INSERT INTO parted SELECT n, 'note ' || n FROM generate_series(0, 19) n`,
      'VACUUM ANALYZE',
    );
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  async function backupIn(format: 'text' | 'binary'): Promise<TestBackup> {
    const made =
      backups.get(format) ??
      (await takeBackup(repository, server.url('packed'), ysqlSource({ chunkBytes: CHUNK_BYTES, format })));
    backups.set(format, made);
    return made;
  }

  /** Restores, each part twice, and compares everything. Returns the name of the copy. */
  async function restored(backup: TestBackup, store: Store = backup.context.store): Promise<string> {
    restores += 1;
    const name = `packed_${restores}`;
    const context = { ...restoreContext(backup, server.url(), { into: { packed: name } }), store };
    expect((await runRestore(context)).problems).toEqual([]);
    return name;
  }

  test.each(['text', 'binary'] as const)('come back, rows as %s, and are a few objects', async (format) => {
    const backup = await backupIn(format);
    const { manifest, objects } = backup;
    const tables = new Set(objects.map(({ table }) => table.table));
    // Every seventh has no rows, and so no object.
    expect(tables.size).toBe(TABLES - Math.floor(TABLES / 7) + 4);
    expect(manifest.totals.objects).toBeLessThan(TABLES / 20);
    expect(manifest.packs?.length).toBeGreaterThan(0);
    const large = objects.filter(({ table }) => table.table === 'large');
    expect(large.map(({ at, sizeBytes }) => ({ at, isLarge: sizeBytes > PIECE_BYTES }))).toEqual([
      { at: undefined, isLarge: true },
    ]);
    expect(objects.filter(({ at }) => at === undefined)).toEqual(large);
    const copy = await restored(backup);
    expect(
      await compareDatabases(server, server.url('packed'), server.url(copy), {
        ignoreDatabaseProperties: true,
      }),
    ).toEqual([]);
  });

  test('come back from an encrypted repository', async () => {
    const people = await newPeople();
    const encrypted = await createRepository();
    try {
      const store = backupSide(encrypted.store, people);
      await ensureRepository(store);
      const backup = await takeBackup(
        { ...encrypted, store },
        server.url('packed'),
        ysqlSource({ chunkBytes: CHUNK_BYTES }),
      );
      const copy = await restored(backup, restoreSide(encrypted.store, people));
      expect(
        await compareDatabases(server, server.url('packed'), server.url(copy), {
          ignoreDatabaseProperties: true,
        }),
      ).toEqual([]);
    } finally {
      await encrypted.remove();
    }
  });

  test('where a piece is damaged, its table is named, nothing of its transaction stays, and every other task loads', async () => {
    const backup = await backupIn('binary');
    const piece = backup.objects.find(({ table }) => table.table === 't100');
    if (piece?.at === undefined) throw new Error('t100 has no piece');
    const file = join(repository.path, backup.context.folder, piece.key);
    const sound = await readFile(file);
    const damaged = Buffer.from(sound);
    damaged.writeUInt8(damaged.readUInt8(piece.at + 20) ^ 1, piece.at + 20);
    await writeFile(file, damaged);
    try {
      const context = restoreContext(backup, server.url(), { into: { packed: 'packed_damaged' } });
      const plan = await ysqlEngine.restore.plan(context);
      await ysqlEngine.restore.prepare(context);
      const failures: unknown[] = [];
      for (let task = 0; task < plan.tasks; task += 1) {
        await ysqlEngine.restore.load(context, task).catch((error: unknown) => failures.push(error));
      }
      expect(failures).toEqual([
        expect.objectContaining({
          code: 'STORE_DAMAGED',
          transient: false,
          message: expect.stringContaining(`${dataObjectName(piece)} holds rows of public.t100`),
        }),
      ]);
      await ysqlEngine.restore.discard(context);
    } finally {
      await writeFile(file, sound);
    }
  });

  test('of which some are selected are loaded by themselves', async () => {
    const backup = await backupIn('binary');
    const wanted = ['public.t10', 'public.t11', 'public.t250'];
    const context = restoreContext(backup, server.url(), {
      into: { packed: 'packed_some' },
      tables: { include: wanted, exclude: [] },
    });
    const outcome = await runRestore(context);
    expect(outcome).toMatchObject({ problems: [], tables: wanted.length });
    const rows = (objects: readonly DataObject[]) => objects.reduce((sum, object) => sum + object.rows, 0);
    expect(outcome.rows).toBe(
      rows(backup.objects.filter(({ table }) => wanted.includes(`public.${table.table}`))),
    );
  });
});
