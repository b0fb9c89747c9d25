import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { restoreKit } from '../../engines/ycql/restore-kit.ts';
import { compareKeyspaces } from './compare.ts';
import { restoreContext, runRestore, type TestBackup, takeBackup, ycqlSource } from './harness.ts';
import { useCassandra } from './stage.ts';
import { createZoo, plainClient, run } from './zoo.ts';

const ROWS = 1_800;

const stage = useCassandra();
let tables: readonly string[];
let backup: TestBackup;

beforeAll(async () => {
  tables = await createZoo(stage.cluster, 'zoo', { seed: 11, rows: ROWS, dialect: 'cassandra' });
  backup = await takeBackup(
    stage.repository,
    ycqlSource(stage.cluster, { keyspaces: { include: ['zoo'], exclude: [] } }),
  );
});

test('a keyspace with everything comes back cell by cell, each with its time of writing and expiry', async () => {
  const { problems, databases } = await runRestore(restoreContext(backup, { into: { zoo: 'copy' } }));
  expect(problems).toEqual([]);
  expect(databases).toEqual([{ from: 'zoo', to: 'copy' }]);
  const { rows, cells, differences } = await compareKeyspaces(stage.cluster, 'zoo', 'copy', tables);
  expect(differences).toEqual([]);
  // Of thousands of rows and tens of thousands of cells, all by themselves.
  expect(rows).toBe(backup.manifest.totals.rows);
  expect(rows).toBeGreaterThan(4_000);
  expect(cells).toBeGreaterThan(50_000);
});

/** Each makes the copy differ in one thing; `sees` is what the comparison must say of it. */
const MUTATIONS: readonly (readonly [what: string, statement: string, sees: RegExp])[] = [
  [
    'a byte',
    'UPDATE copy.wide SET v = 0x00 WHERE p = 1 AND c = 17',
    /wide row .* column v holds another value, /,
  ],
  [
    'a time of writing',
    'UPDATE copy."QuotedTable" USING TIMESTAMP 1893456000000000 SET "Value ä" = \'x\' WHERE "P 1" = \'p 1\' AND p2 = 1 AND "C" = 1 AND d = \'d"d\'',
    /QuotedTable row .* column Value ä/,
  ],
  [
    'a row that is nothing but a key',
    'DELETE FROM copy.keys_only WHERE p = 3 AND c = 3',
    /keys_only row .* is missing/,
  ],
  [
    'a row too many',
    'INSERT INTO copy.keys_only (p, c) VALUES (3, 999999)',
    /keys_only row .* is one too many/,
  ],
  [
    'an expiry that went',
    "UPDATE copy.expiring USING TTL 0 SET v = 'x' WHERE p = 1",
    /expiring row .* column v/,
  ],
  [
    'an element of a map',
    "UPDATE copy.everything SET sm['a'] = 1 WHERE p = 2",
    /everything row .* column sm was written at/,
  ],
  [
    'a static value',
    "UPDATE copy.everything SET st = 'else' WHERE p = 1000001",
    /everything row .* column st holds/,
  ],
  [
    'a zero-length value',
    'UPDATE copy."QuotedTable" SET "Value ä" = \'\' WHERE "P 1" = \'p 2\' AND p2 = 2 AND "C" = 2 AND d = \'\'',
    /QuotedTable row/,
  ],
  [
    'a counter',
    'UPDATE copy.counted SET hits = hits + 1 WHERE p = 1 AND c = 1',
    /counted row .* column hits holds/,
  ],
];

test.each(MUTATIONS)('the comparison catches %s in a copy', async (_what, statement, sees) => {
  await run(stage.cluster, statement);
  const changed = tables.filter((table) => statement.includes(table));
  const { differences } = await compareKeyspaces(stage.cluster, 'zoo', 'copy', changed, { most: 50 });
  expect(differences.join('\n')).toMatch(sees);
});

test('a restore that was tampered with is told from the backup by the check itself', async () => {
  const context = restoreContext(backup, {
    into: { zoo: 'tampered' },
    tables: { include: ['zoo.wide', 'zoo.counted'], exclude: [] },
  });
  const { ycqlEngine } = await import('../../engines/ycql/engine.ts');
  const { tasks } = await ycqlEngine.restore.plan(context);
  await ycqlEngine.restore.prepare(context);
  for (let task = 0; task < tasks; task += 1) await ycqlEngine.restore.load(context, task);
  await run(
    stage.cluster,
    'UPDATE tampered.wide SET v = 0x00 WHERE p = 1 AND c = 17',
    'UPDATE tampered.counted SET hits = hits + 5 WHERE p = 1 AND c = 1',
  );
  const { problems } = await ycqlEngine.restore.finish(context);
  // What was counted too much is put right; bytes that differ are told.
  expect(problems).toEqual([
    expect.stringMatching(
      /^tampered\.wide row [0-9a-f]{12}: column v holds another value, 1 byte instead of 400 bytes$/,
    ),
  ]);
  await ycqlEngine.restore.discard(context);
});

test('what a table has and no backup can carry is listed by table', async () => {
  const losses = Object.fromEntries(
    backup.manifest.databases.flatMap(({ tables: listed }) =>
      listed.map(({ table, losses: own }) => [table, own]),
    ),
  );
  expect(losses).toEqual({
    counted: [expect.stringContaining('counters')],
    keys_only: [expect.stringContaining('nothing but a key')],
    ...Object.fromEntries(
      ['everything', 'QuotedTable', 'wide', 'expiring', 'empty'].map((table) => [table, undefined]),
    ),
  });
});

/** Follows RESTORE.md literally, without Holdfast. */
async function loadByKit(kitOf: TestBackup, from: string, to: string): Promise<void> {
  const folder = join(stage.repository.path, kitOf.context.folder);
  for (const { key, text } of restoreKit(kitOf.manifest, kitOf.objects))
    await writeFile(join(folder, key), text);
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(kitOf.manifest));
  await promisify(execFile)('sha256sum', ['--check', '--quiet', 'SHA256SUMS'], { cwd: folder });
  const script =
    kitOf.manifest.databases[0]?.schemaObjects.find(({ key }) => key.endsWith('.cql'))?.key ?? '';
  const statements = (await readFile(join(folder, script), 'utf8'))
    .replaceAll(`"${from}"`, `"${to}"`)
    .split(';\n');
  await run(
    stage.cluster,
    ...statements.map((statement) => statement.trim()).filter((statement) => statement !== ''),
  );
  const { port, localDataCenter } = stage.cluster;
  await promisify(execFile)(
    process.execPath,
    ['load.mjs', '127.0.0.1', String(port), localDataCenter, `${from}=${to}`],
    { cwd: folder, env: { ...process.env, NODE_PATH: join(__dirname, '..', '..', 'node_modules') } },
  );
}

test('RESTORE.md is followed literally: without Holdfast every row comes back, with its times and expiries', async () => {
  await loadByKit(backup, 'zoo', 'unaided');
  // Of collections whose elements differ the guide says what becomes of them.
  const exact = tables.filter((table) => table !== 'everything');
  const { differences } = await compareKeyspaces(stage.cluster, 'zoo', 'unaided', exact);
  expect(differences).toEqual([]);
});

test('the kit writes collections and types of one’s own back, without the elements that have expired', async () => {
  await run(
    stage.cluster,
    "CREATE KEYSPACE parts WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    // A name that looks like that of a native type.
    'CREATE TYPE parts.address (street text, n int)',
    'CREATE TABLE parts.t (p int PRIMARY KEY, h address, m map<text, int>, s set<int>, l list<int>)',
    "INSERT INTO parts.t (p, h, m, s, l) VALUES (1, {street: 'a', n: 1}, {'a': 1}, {1, 2}, [1, 2])",
    "INSERT INTO parts.t (p, h, m, s, l) VALUES (2, {street: 'a', n: 1}, {'keep': 1}, {1}, [1]) USING TTL 80000",
    "INSERT INTO parts.t (p, h, m, s, l) VALUES (3, {street: 'a'}, {'keep': 1}, {1}, [1])",
    "UPDATE parts.t USING TTL 20 SET m['gone'] = 2, s = s + {9}, l = l + [9], h.n = 9 WHERE p = 3",
  );
  const own = await takeBackup(
    stage.repository,
    ycqlSource(stage.cluster, { keyspaces: { include: ['parts'], exclude: [] } }),
  );
  const values = async (keyspace: string) =>
    (await plainRows(`SELECT p, h, m, s, l FROM ${keyspace}.t`)).map((row) => JSON.stringify(row)).sort();
  const deadline = Date.now() + 60_000;
  while ((await values('parts')).some((row) => row.includes('gone')) && Date.now() < deadline)
    await sleep(500);
  // A server tells whole seconds that are left, so an element may have ended there a moment before the kit takes it for ended.
  await sleep(3_000);
  await loadByKit(own, 'parts', 'unaided_parts');
  expect(await values('unaided_parts')).toEqual(await values('parts'));
  const ends = await plainRows('SELECT p, ttl(h) AS h, ttl(m) AS m FROM unaided_parts.t');
  expect(ends.find(({ p }) => p === 1)).toMatchObject({ h: [null, null], m: [null] });
  expect(JSON.stringify(ends.find(({ p }) => p === 2))).toMatch(/"h":\[7\d+,7\d+\],"m":\[7\d+\]/);
});

async function plainRows(query: string): Promise<readonly Record<string, unknown>[]> {
  const client = plainClient(stage.cluster);
  try {
    return (await client.execute(query)).rows.map((row) =>
      Object.fromEntries(row.keys().map((name) => [name, row[name]])),
    );
  } finally {
    await client.shutdown();
  }
}
