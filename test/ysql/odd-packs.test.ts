import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
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

/** Names that shells, SQL, COPY, patterns and lines of lists read as something else. */
const NAMES = [
  'it\'s "quoted"',
  'two\nlines',
  '$(touch pwned) `touch pwned`',
  '\\. \\N \\',
  '%s %d * ? [a]',
  'größe 数 🦉',
  "'; DROP TABLE plain; --",
  ' - leading and trailing ',
  '\tTab\r',
  'EOF',
];

describe('small tables of odd names and shapes in packs', () => {
  let server: TestServer;
  let repository: TestRepository;

  beforeAll(async () => {
    server = await startServer();
    repository = await createRepository();
    await query(server.url(), 'CREATE DATABASE odd');
    const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
    const odd = NAMES.flatMap((name, index) => [
      `CREATE TABLE ${quoted(name)} (${quoted(name)} text, twice text GENERATED ALWAYS AS (${quoted(name)} || ${quoted(name)}) STORED)`,
      `INSERT INTO ${quoted(name)} SELECT '${'x'.repeat(index)}' || n FROM generate_series(1, ${index + 1}) n`,
    ]);
    await query(
      server.url('odd'),
      ...odd,
      'CREATE TABLE plain (id int PRIMARY KEY)',
      'INSERT INTO plain SELECT generate_series(1, 5)',
      'CREATE TABLE empty (id int)',
      'CREATE TABLE only_generated (id int GENERATED ALWAYS AS IDENTITY, twice int GENERATED ALWAYS AS (1) STORED)',
      'INSERT INTO only_generated DEFAULT VALUES',
      'CREATE TABLE nothing_to_copy (one int GENERATED ALWAYS AS (1) STORED)',
      'INSERT INTO nothing_to_copy DEFAULT VALUES',
      'CREATE TABLE no_columns ()',
      'INSERT INTO no_columns DEFAULT VALUES',
      "CREATE TABLE toasted AS SELECT string_agg(md5(n::text), '') AS noise FROM generate_series(1, 20000) n",
      'CREATE TABLE hostile (note text)',
      "INSERT INTO hostile VALUES ('\\.'), (E'\\\\.\\n\\\\N\\t'), (E'\\r\\n'), (NULL), ('')",
      'CREATE SCHEMA "s.p"',
      'CREATE TABLE "s.p"."t.q" (id int)',
      'INSERT INTO "s.p"."t.q" VALUES (1)',
      'CREATE TABLE parted (id int) PARTITION BY RANGE (id)',
      'CREATE TABLE "parted low" PARTITION OF parted FOR VALUES FROM (0) TO (10)',
      'CREATE TABLE "parted else" PARTITION OF parted DEFAULT',
      'INSERT INTO parted SELECT generate_series(0, 19)',
      `DO $$ BEGIN FOR i IN 1..60 LOOP EXECUTE format('CREATE TABLE t%s (id int)', i);
         EXECUTE format('INSERT INTO t%s SELECT generate_series(1, %s)', i, i % 4); END LOOP; END $$`,
    );
  });

  afterAll(async () => {
    await server?.stop();
    await repository?.remove();
  });

  const back = (format: 'text' | 'binary'): Promise<TestBackup> =>
    takeBackup(repository, server.url('odd'), ysqlSource({ chunkBytes: 16 * 1024 * 1024, format }));
  const compared = (copy: string) =>
    compareDatabases(server, server.url('odd'), server.url(copy), { ignoreDatabaseProperties: true });

  test.each(['text', 'binary'] as const)(
    'come back, rows as %s; and by hand, with their kit',
    async (format) => {
      const backup = await back(format);
      expect(backup.manifest.packs?.length).toBeGreaterThan(0);
      const copy = `odd_${format}`;
      const outcome = await runRestore(
        restoreContext(backup, server.url(), { into: { odd: copy }, check: 'content' }),
      );
      expect(outcome.problems).toEqual([]);
      expect(await compared(copy)).toEqual([]);
      await byHand(backup, format);
    },
  );

  async function byHand(backup: TestBackup, format: string): Promise<void> {
    const folder = join(repository.path, backup.context.folder);
    const kit = ysqlEngine.restoreKit(backup.manifest, backup.objects);
    for (const { key, text } of kit) {
      await mkdir(dirname(join(folder, key)), { recursive: true });
      await writeFile(join(folder, key), text);
    }
    await query(server.url(), 'ALTER DATABASE odd RENAME TO odd_original');
    try {
      const url = new URL(server.url());
      const env = {
        ...process.env,
        PATH: `${server.binDirectory}:${process.env.PATH}`,
        PGHOST: url.hostname,
        PGPORT: url.port,
        PGUSER: url.username,
        PGPASSWORD: decodeURIComponent(url.password),
      };
      const guide = await readFile(join(folder, 'RESTORE.md'), 'utf8');
      for (const [, commands = ''] of guide.matchAll(/^```sh\n(.*?)^```$/gms)) {
        await promisify(execFile)('sh', ['-c', commands], { cwd: folder, env });
      }
      expect(
        await compareDatabases(server, server.url('odd_original'), server.url('odd'), {
          ignoreDatabaseProperties: true,
        }),
      ).toEqual([]);
      await query(server.url(), `ALTER DATABASE odd RENAME TO by_hand_${format}`);
    } finally {
      await query(server.url(), 'ALTER DATABASE odd_original RENAME TO odd');
    }
  }

  test('each comes back by its own name alone', async () => {
    const backup = await back('text');
    const plain = [...NAMES.filter((name) => !/[*?]/.test(name)), 'nothing_to_copy', 'toasted', 'plain'];
    for (const [index, name] of plain.entries()) {
      const into = `alone_${index}`;
      const outcome = await runRestore(
        restoreContext(backup, server.url(), {
          into: { odd: into },
          tables: { include: [`public.${name}`], exclude: [] },
        }),
      );
      expect({ name, ...outcome }).toMatchObject({ name, problems: [], tables: 1 });
      const tables = 'SELECT relname AS name FROM pg_stat_user_tables';
      expect(await query(server.url(into), tables)).toEqual([{ name }]);
    }
  });
});
