import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ycqlEngine } from '../../engines/ycql/engine.ts';
import { extractedColumns } from '../../engines/ycql/extract.ts';
import { READ_POINT_LOST } from '../../model/errors.ts';
import { lossesIn, unreadIn } from '../../model/manifest.ts';
import { verifyBackup } from '../../repository/backups/verify.ts';
import { writeManifest } from '../../repository/backups/write-manifest.ts';
import { compareKeyspaces } from './compare.ts';
import { restoreContext, runRestore, takeBackup, ycqlSource } from './harness.ts';
import { ONE_NODE, useCassandra } from './stage.ts';
import { run } from './zoo.ts';

/* What a restore calls OK is so, and what a backup lacks is told. */

const stage = useCassandra(
  { settings: { tombstone_failure_threshold: '1000', tombstone_warn_threshold: '900' } },
  'truth',
);

/** As a difference names the row whose key is this int. */
function nameOfRow(p: number): string {
  const key = Buffer.alloc(4);
  key.writeInt32BE(p);
  return createHash('sha256').update(key).digest('hex').slice(0, 12);
}

function backupOf(...tables: readonly string[]) {
  return takeBackup(
    stage.repository,
    ycqlSource(stage.cluster, {
      keyspaces: { include: ['truth'], exclude: [] },
      tables: { include: tables.map((table) => `truth.${table}`), exclude: [] },
    }),
  );
}

async function fill(table: string, rows: number, using: (row: number) => string): Promise<void> {
  for (let row = 0; row < rows; row += 1)
    await stage.client.execute(`INSERT INTO ${table} (p, v) VALUES (${row}, 'v${row}')${using(row)}`);
}

/** Everything but the last step; `meanwhile` stands between the rows and the comparison. */
async function restoreAndCompare(
  context: ReturnType<typeof restoreContext>,
  meanwhile: () => Promise<unknown>,
) {
  const { tasks } = await ycqlEngine.restore.plan(context);
  await ycqlEngine.restore.prepare(context);
  for (let task = 0; task < tasks; task += 1) await ycqlEngine.restore.load(context, task);
  await meanwhile();
  return await ycqlEngine.restore.finish(context);
}

describe('rows that are missing', () => {
  beforeAll(async () => {
    await run(stage.cluster, 'CREATE TABLE truth.monthly (p int PRIMARY KEY, v text)');
    await fill('truth.monthly', 60, () => ' USING TTL 2592000');
  });

  test.each(['rows', 'content'] as const)(
    'with a TTL of 30 days a minute after the backup are a difference, by check %s',
    async (check) => {
      const backup = await backupOf('monthly');
      const into = `monthly_${check}`;
      const { problems } = await restoreAndCompare(
        restoreContext(backup, { into: { truth: into }, check }),
        () =>
          run(
            stage.cluster,
            ...Array.from({ length: 40 }, (_, p) => `DELETE FROM ${into}.monthly WHERE p = ${p}`),
          ),
      );
      expect(problems.join('\n')).toMatch(/monthly row [0-9a-f]{12}: is missing/);
    },
  );

  test.each(['rows', 'content'] as const)(
    'are none where they have expired, and those that have not are, by check %s',
    async (check) => {
      const table = `soon_${check}`;
      await run(stage.cluster, `CREATE TABLE truth.${table} (p int PRIMARY KEY, v text)`);
      await fill(`truth.${table}`, 40, (row) =>
        row % 2 === 0 ? ' USING TTL 12' : row % 3 === 0 ? ' USING TTL 90000' : '',
      );
      const backup = await backupOf(table);
      const into = `went_${check}`;
      const restore = (name: string) => restoreContext(backup, { into: { truth: name }, check });
      const fine = await restoreAndCompare(restore(into), () => sleep(14_000));
      expect(fine.problems).toEqual([]);
      const lacking = await restoreAndCompare(restore(`${into}2`), () =>
        run(stage.cluster, `DELETE FROM ${into}2.${table} WHERE p = 3`),
      );
      expect(lacking.problems.join('\n')).toContain(`row ${nameOfRow(3)}: is missing`);
    },
  );
});

describe('rows alone into tables that hold newer data', () => {
  const request = { contents: 'data' as const, into: { truth: 'truth' } };

  test('are refused where newer cells are there, and take their place as new ones', async () => {
    await run(
      stage.cluster,
      'CREATE TABLE truth.newer (p int, c int, st text static, v text, w int, m map<text, int>, l list<int>, PRIMARY KEY (p, c))',
      "INSERT INTO truth.newer (p, c, st, v, m, l) VALUES (1, 1, 'st', 'old', {'a': 1, 'b': 2}, [1, 2])",
      "UPDATE truth.newer USING TTL 90000 SET m['c'] = 3, l = l + [3] WHERE p = 1 AND c = 1",
      "INSERT INTO truth.newer (p, c, v, w) VALUES (1, 2, 'deleted later', 7)",
      "INSERT INTO truth.newer (p, c, v) VALUES (2, 1, 'untouched')",
      'INSERT INTO truth.newer (p, c) VALUES (3, 1)',
    );
    const backup = await backupOf('newer');
    await run(
      stage.cluster,
      "UPDATE truth.newer SET v = 'new', w = 9, st = 'new', m = {'z': 26}, l = [9] WHERE p = 1 AND c = 1",
      'DELETE FROM truth.newer WHERE p = 1 AND c = 2',
      "INSERT INTO truth.newer (p, c, v) VALUES (3, 1, 'filled'),".replace(/,$/, ''),
      "INSERT INTO truth.newer (p, c, v) VALUES (4, 4, 'another')",
    );
    await expect(runRestore(restoreContext(backup, request))).rejects.toMatchObject({
      code: 'RESTORE_TARGET_NEWER',
      message: expect.stringContaining('truth.newer'),
      remedy: expect.stringContaining('--as-new'),
    });
    const { problems, compared } = await runRestore(restoreContext(backup, { ...request, asNew: true }));
    expect(problems).toEqual([]);
    expect(compared).toContain('every cell');
    const { rows } = await stage.client.execute('SELECT p, c, st, v, w, m, l FROM truth.newer');
    expect(rows.map(({ p, c, st, v, w, m, l }) => [p, c, st, v, w, m, l]).sort()).toEqual([
      [1, 1, 'st', 'old', null, { a: 1, b: 2, c: 3 }, [1, 2, 3]],
      [1, 2, 'st', 'deleted later', 7, null, null],
      [2, 1, null, 'untouched', null, null, null],
      [3, 1, null, null, null, null, null],
      [4, 4, null, 'another', null, null, null],
    ]);
  });

  test('are told to have a time of writing in the future where they have one', async () => {
    await run(
      stage.cluster,
      'CREATE TABLE truth.future (p int PRIMARY KEY, v text, m map<text, int>, l list<int>)',
      "INSERT INTO truth.future (p, v, m, l) VALUES (1, 'x', {'a': 1}, [1, 2]) USING TIMESTAMP 1999999999000000",
    );
    const backup = await backupOf('future');
    await expect(runRestore(restoreContext(backup, request))).rejects.toMatchObject({
      code: 'RESTORE_TARGET_NEWER',
      message: expect.stringMatching(/truth\.future .* time of writing, 2033-\S+, is in the future/),
      remedy: expect.stringMatching(/--as-new .*TRUNCATE/),
    });
    // Equal cells stay, and others win over the backup's: what the remedy says.
    const asNew = { ...request, asNew: true };
    expect((await runRestore(restoreContext(backup, asNew))).problems).toEqual([]);
    const { rows } = await stage.client.execute('SELECT v, m, l FROM truth.future');
    expect(rows.map(({ v, m, l }) => [v, m, l])).toEqual([['x', { a: 1 }, [1, 2]]]);
    await run(stage.cluster, "UPDATE truth.future USING TIMESTAMP 1999999999000001 SET v = 'y' WHERE p = 1");
    expect((await runRestore(restoreContext(backup, asNew))).problems[0]).toContain(
      'column v holds another value',
    );
    await run(stage.cluster, 'DROP TABLE truth.holdfast_restore', 'TRUNCATE truth.future');
    expect((await runRestore(restoreContext(backup, request))).problems).toEqual([]);
  });

  test('that were deleted since are told to be missing, and come back as new ones', async () => {
    await run(stage.cluster, 'CREATE TABLE truth.emptied (p int PRIMARY KEY, v text)');
    await fill('truth.emptied', 30, () => '');
    const backup = await backupOf('emptied');
    for (let p = 0; p < 30; p += 1) await stage.client.execute(`DELETE FROM truth.emptied WHERE p = ${p}`);
    const { problems } = await runRestore(restoreContext(backup, { ...request, check: 'rows' }));
    expect(problems.join('\n')).toMatch(/emptied row .* is missing[\s\S]*--as-new/);
    await run(stage.cluster, 'DROP TABLE truth.holdfast_restore');
    const { problems: none } = await runRestore(
      restoreContext(backup, { ...request, check: 'rows', asNew: true }),
    );
    expect(none).toEqual([]);
    const { rows } = await stage.client.execute('SELECT count(*) AS n FROM truth.emptied');
    expect(Number(rows[0]?.n)).toBe(30);
  });

  test('are compared with the backup also among many others', async () => {
    await run(stage.cluster, 'CREATE TABLE truth.crowd (p int PRIMARY KEY, v text)');
    await fill('truth.crowd', 300, () => ' USING TIMESTAMP 1700000000000000');
    const backup = await backupOf('crowd');
    await fill('truth.crowd', 290, () => ' USING TIMESTAMP 1700000000000000');
    for (let p = 1_000; p < 1_900; p += 1)
      await stage.client.execute(
        `INSERT INTO truth.crowd (p, v) VALUES (${p}, 'other') USING TIMESTAMP 1700000000000000`,
      );
    expect((await runRestore(restoreContext(backup, request))).problems).toEqual([]);
  });
});

test('a restore of the schema alone says that definitions were compared, and finds one that is not there', async () => {
  await run(
    stage.cluster,
    'CREATE TABLE truth.defined (p int PRIMARY KEY, v text)',
    'CREATE INDEX defined_v ON truth.defined (v)',
  );
  const backup = await backupOf('defined');
  const context = restoreContext(backup, { into: { truth: 'defined' }, contents: 'schema' });
  const { problems, compared } = await restoreAndCompare(context, async () => undefined);
  expect(compared).toBe('definitions of 1 table');
  // The index is what post-data would have made.
  expect(problems).toEqual(['table defined.defined: it lacks index defined_v']);
});

test.each([
  ['a field is added to its type', 'ALTER TYPE truth.address ADD city text'],
  ['a field is added to a type within its type', 'ALTER TYPE truth.code ADD area int'],
  [
    'a column is dropped and added again',
    'ALTER TABLE truth.typed DROP w; ALTER TABLE truth.typed ADD w int',
  ],
])('a table of which %s while it is read ends the epoch', async (_what, statements) => {
  await run(
    stage.cluster,
    'CREATE TYPE IF NOT EXISTS truth.code (zip text)',
    'CREATE TYPE IF NOT EXISTS truth.address (street text, code frozen<code>)',
    'CREATE TABLE IF NOT EXISTS truth.typed (p int PRIMARY KEY, a frozen<address>, w int)',
    "INSERT INTO truth.typed (p, a) VALUES (1, {street: 'Elm'})",
  );
  const source = ycqlSource(stage.cluster, {
    keyspaces: { include: ['truth'], exclude: [] },
    tables: { include: ['truth.typed'], exclude: [] },
  });
  await expect(
    takeBackup(stage.repository, source, () => run(stage.cluster, ...statements.split('; '))),
  ).rejects.toMatchObject({
    code: READ_POINT_LOST,
    message: expect.stringContaining('truth.typed'),
  });
});

test('rows that a bare key may outlive are counted as a loss, and go with their last cell', async () => {
  await run(
    stage.cluster,
    'CREATE TABLE truth.bare (p int PRIMARY KEY, v text)',
    'INSERT INTO truth.bare (p) VALUES (1)',
    "UPDATE truth.bare USING TTL 90000 SET v = 'x' WHERE p = 1",
    "INSERT INTO truth.bare (p, v) VALUES (2, 'stays')",
    "INSERT INTO truth.bare (p, v) VALUES (3, 'goes') USING TTL 90000",
  );
  const backup = await backupOf('bare');
  expect(lossesIn(backup.manifest)).toEqual([
    expect.stringMatching(/^truth\.bare: whether 2 rows, all of whose cells expire/),
  ]);
});

test('rows of nothing but a key, whose expiry no server tells, are counted as a loss and come back for ever', async () => {
  await run(
    stage.cluster,
    'CREATE TABLE truth.marker (p int, c int, s text static, v text, l list<int>, PRIMARY KEY (p, c))',
    'INSERT INTO truth.marker (p, c) VALUES (1, 1) USING TTL 20',
    'INSERT INTO truth.marker (p, c) VALUES (1, 2)',
    "UPDATE truth.marker SET s = 'of a partition' WHERE p = 1",
    "UPDATE truth.marker SET s = 'of a partition without rows' WHERE p = 2",
    "INSERT INTO truth.marker (p, c, v) VALUES (3, 1, 'x')",
    'UPDATE truth.marker SET l = [1] WHERE p = 3 AND c = 2',
  );
  const backup = await backupOf('marker');
  await sleep(21_000);
  const { problems } = await runRestore(restoreContext(backup, { into: { truth: 'marked' } }));
  expect(problems).toEqual([]);
  const keys = async (keyspace: string) => {
    const { rows } = await stage.client.execute(`SELECT p, c FROM ${keyspace}.marker WHERE p = 1`);
    return rows.map(({ c }) => c);
  };
  expect([await keys('truth'), await keys('marked')]).toEqual([[2], [1, 2]]);
  expect(lossesIn(backup.manifest)).toEqual([
    expect.stringMatching(/^truth\.marker: time of writing and expiry of 2 rows that are nothing but a key/),
  ]);
});

describe('a partition behind more tombstones than the server reads over', () => {
  const TOMBSTONES = 1_500;

  beforeAll(async () => {
    await run(
      stage.cluster,
      'CREATE TABLE truth.buried (p int, c int, v text, PRIMARY KEY (p, c))',
      'CREATE TABLE truth.fine (p int PRIMARY KEY, v text)',
    );
    await fill('truth.fine', 20, () => '');
    for (let p = 0; p < 60; p += 1)
      await stage.client.execute(`INSERT INTO truth.buried (p, c, v) VALUES (${p}, 0, 'x')`);
    // Of one partition the tombstones come first, of another behind a row, with a row behind them each.
    for (const p of [7, 31]) {
      if (p === 7) await stage.client.execute(`DELETE FROM truth.buried WHERE p = 7 AND c = 0`);
      for (let c = 1; c <= TOMBSTONES; c += 1)
        await stage.client.execute('DELETE FROM truth.buried WHERE p = ? AND c = ?', [p, c], {
          prepare: true,
        });
      await stage.client.execute(`INSERT INTO truth.buried (p, c, v) VALUES (${p}, 100000, 'behind')`);
    }
  });

  test('stops nothing else: what can be read is saved, what can not is named, and the backup is not called whole', async () => {
    const backup = await backupOf('buried', 'fine');
    const rows = Object.fromEntries(
      backup.manifest.databases.flatMap(({ tables }) => tables.map((table) => [table.table, table.rows])),
    );
    expect(rows).toEqual({ buried: 59, fine: 20 });
    const unread = unreadIn(backup.manifest);
    expect(unread).toHaveLength(2);
    // By token, since a key is a value of a row.
    const tokenOf = async (p: number) =>
      String(
        (
          await stage.client.execute(`SELECT token(p) AS t FROM truth.buried WHERE p = ${p} AND c = 100000`)
        ).first()?.t,
      );
    expect(unread.toSorted()).toEqual(
      [
        `truth.buried: the partition with token ${await tokenOf(7)} could not be read: most often it lies behind too many tombstones`,
        `truth.buried: rows of the partition with token ${await tokenOf(31)} could not be read: most often it lies behind too many tombstones`,
      ].toSorted(),
    );
    // What is there restores, and a scratch restore says what is not.
    const restored = await runRestore(restoreContext(backup, { into: { truth: 'unburied' } }));
    expect(restored.problems).toEqual([]);
    expect(restored.compared).toContain('lacks what could not be read at 2 places');
    const rehearsed = await runRestore(restoreContext(backup, { scratch: true }));
    expect(rehearsed.problems).toHaveLength(2);
    // However sound its objects are, no verification finds it good.
    const { formatVersion: _version, totals: _totals, data: _data, ...draft } = backup.manifest;
    await writeManifest(stage.repository.store, draft, backup.objects);
    const { verdict, problems } = await verifyBackup(stage.repository.store, backup.context.ref, 'exists');
    expect([verdict, problems.length]).toEqual(['FAILED', 2]);
  }, 300_000);
});

test('the header of a table without rows names its columns', async () => {
  await run(stage.cluster, 'CREATE TABLE truth.none (p int, c text, v int, PRIMARY KEY (p, c))');
  const backup = await backupOf('none');
  const { store } = stage.repository;
  const wanted = 'truth.none';
  expect(await extractedColumns(store, backup.manifest, wanted, { times: false })).toEqual(['p', 'c', 'v']);
  expect(await extractedColumns(store, backup.manifest, wanted, { times: true })).toEqual([
    ...['p', 'c', 'v', 'writetime(v)', 'expires(v)'],
  ]);
});

test('rows told at the end are those that were written', async () => {
  await run(stage.cluster, 'CREATE TABLE truth.brief (p int PRIMARY KEY, v text)');
  await fill('truth.brief', 20, (row) => (row < 8 ? ' USING TTL 15' : ''));
  const backup = await backupOf('brief');
  expect(backup.manifest.totals.rows).toBe(20);
  await sleep(16_000);
  const context = restoreContext(backup, { into: { truth: 'brief' } });
  const { rows, problems } = await restoreAndCompare(context, async () => undefined);
  expect([rows, problems]).toEqual([12, []]);
});

test('compact tables come back as they are', async () => {
  await run(
    stage.cluster,
    `CREATE KEYSPACE compact WITH ${ONE_NODE}`,
    'CREATE TABLE compact.static (p int PRIMARY KEY, a text, b int) WITH COMPACT STORAGE',
    'CREATE TABLE compact.dense (p int, c1 int, c2 int, v text, PRIMARY KEY (p, c1, c2)) WITH COMPACT STORAGE',
    'CREATE TABLE compact.keys (p int, c int, PRIMARY KEY (p, c)) WITH COMPACT STORAGE',
    'CREATE TABLE compact.counts (p int PRIMARY KEY, n counter) WITH COMPACT STORAGE',
    "INSERT INTO compact.static (p, a, b) VALUES (1, 'x', 2) USING TIMESTAMP 1700000000000000",
    "UPDATE compact.static USING TTL 90000 SET a = 'y' WHERE p = 2",
    "INSERT INTO compact.dense (p, c1, c2, v) VALUES (1, 2, 3, 'full')",
    "INSERT INTO compact.dense (p, c1, v) VALUES (1, 2, 'short key')",
    'INSERT INTO compact.keys (p, c) VALUES (4, 5)',
    'UPDATE compact.counts SET n = n + 6 WHERE p = 1',
  );
  const backup = await takeBackup(
    stage.repository,
    ycqlSource(stage.cluster, { keyspaces: { include: ['compact'], exclude: [] } }),
  );
  const { problems } = await runRestore(restoreContext(backup, { into: { compact: 'compacted' } }));
  expect(problems).toEqual([]);
  const { differences, rows } = await compareKeyspaces(stage.cluster, 'compact', 'compacted', [
    'static',
    'dense',
    'keys',
    'counts',
  ]);
  expect([differences, rows]).toEqual([[], 6]);
  const { rows: flags } = await stage.client.execute(
    "SELECT table_name, flags FROM system_schema.tables WHERE keyspace_name = 'compacted'",
  );
  expect(Object.fromEntries(flags.map(({ table_name, flags: own }) => [table_name, own]))).toEqual({
    counts: ['counter'],
    dense: ['compound', 'dense'],
    keys: ['dense'],
    static: [],
  });
});
