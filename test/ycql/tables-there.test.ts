import { ycqlEngine } from '../../engines/ycql/engine.ts';
import { restoreContext, runRestore, takeBackup, ycqlSource } from './harness.ts';
import { useCassandra } from './stage.ts';
import { run } from './zoo.ts';

/* Rows alone (`--data-only`) into tables that are there: what they would harm is refused before anything is written. */

const stage = useCassandra({}, 'there');

const request = { contents: 'data' as const, into: { there: 'there' } };
const asNew = { ...request, asNew: true };

function backupOf(table: string) {
  return takeBackup(
    stage.repository,
    ycqlSource(stage.cluster, {
      keyspaces: { include: ['there'], exclude: [] },
      tables: { include: [`there.${table}`], exclude: [] },
    }),
  );
}

async function valuesOf(query: string): Promise<readonly unknown[]> {
  const { rows } = await stage.client.execute(query);
  return rows.map((row) => row.values());
}

describe('a table with lists that holds rows', () => {
  test('is refused, since elements would be added to those that are there; as new, the lists are those of the backup', async () => {
    await run(
      stage.cluster,
      'CREATE TABLE there.lists (p int PRIMARY KEY, l list<text>, f frozen<list<int>>)',
      "INSERT INTO there.lists (p, l, f) VALUES (1, ['a', 'b'], [1])",
      "UPDATE there.lists SET l = l + ['c'] WHERE p = 1",
    );
    const backup = await backupOf('lists');
    await expect(ycqlEngine.restore.plan(restoreContext(backup, request))).rejects.toMatchObject({
      code: 'RESTORE_LISTS_NOT_EMPTY',
      message: expect.stringMatching(/there\.lists .*\bl\b/),
      remedy: expect.stringMatching(/--as-new.*TRUNCATE.*--exclude-tables/),
    });
    await run(stage.cluster, "UPDATE there.lists SET l = l + ['a', 'b', 'c'] WHERE p = 1");
    expect((await runRestore(restoreContext(backup, asNew))).problems).toEqual([]);
    expect(await valuesOf('SELECT l FROM there.lists')).toEqual([[['a', 'b', 'c']]]);
  });

  test('takes rows once it is empty, and a second attempt of the restore goes on over the rows of the first', async () => {
    await run(
      stage.cluster,
      'CREATE TABLE there.again (p int PRIMARY KEY, l list<text>)',
      "INSERT INTO there.again (p, l) VALUES (1, ['a', 'b'])",
    );
    const backup = await backupOf('again');
    await run(stage.cluster, 'TRUNCATE there.again');
    const context = restoreContext(backup, request);
    const { tasks } = await ycqlEngine.restore.plan(context);
    await ycqlEngine.restore.prepare(context);
    for (let task = 0; task < tasks; task += 1) await ycqlEngine.restore.load(context, task);
    expect((await runRestore({ ...context, attempt: 2 })).problems).toEqual([]);
    expect(await valuesOf('SELECT l FROM there.again')).toEqual([[['a', 'b']]]);
  });

  test('that are frozen is no obstacle', async () => {
    await run(
      stage.cluster,
      'CREATE TABLE there.frozen (p int PRIMARY KEY, f frozen<list<int>>, s set<int>)',
      'INSERT INTO there.frozen (p, f, s) VALUES (1, [1, 2], {3})',
    );
    const backup = await backupOf('frozen');
    expect((await runRestore(restoreContext(backup, request))).problems).toEqual([]);
    expect(await valuesOf('SELECT f, s FROM there.frozen')).toEqual([[[1, 2], [3]]]);
  });
});

describe('a user-defined type that is another than the backup’s', () => {
  test.each([
    ['has grown a field', 'grown', 'ALTER TYPE there.grown ADD zip text', /it has a field zip more/],
    [
      'has a field of another name',
      'renamed',
      'ALTER TYPE there.renamed RENAME a TO b',
      /field b .* instead of a/,
    ],
  ])('because it %s is refused by name', async (_what, name, change, words) => {
    await run(
      stage.cluster,
      `CREATE TYPE there.${name} (a int, c text)`,
      `CREATE TYPE there.${name}_around (inner frozen<${name}>)`,
      `CREATE TABLE there.of_${name} (p int PRIMARY KEY, u ${name}, l frozen<list<frozen<${name}_around>>>)`,
      `INSERT INTO there.of_${name} (p, u, l) VALUES (1, {a: 1, c: 'x'}, [{inner: {a: 1, c: 'y'}}])`,
    );
    const backup = await backupOf(`of_${name}`);
    await run(stage.cluster, `TRUNCATE there.of_${name}`, change);
    await expect(ycqlEngine.restore.plan(restoreContext(backup, request))).rejects.toMatchObject({
      code: 'RESTORE_DEFINITION_DIFFERS',
      message: expect.stringMatching(new RegExp(`there\\.${name}\\b.*${words.source}`)),
      remedy: expect.stringContaining('--into'),
    });
  });
});

test('a column that was dropped and added again is refused, since it hides older cells; as new they come back', async () => {
  await run(
    stage.cluster,
    'CREATE TABLE there.dropped (p int PRIMARY KEY, v text, w int)',
    "INSERT INTO there.dropped (p, v, w) VALUES (1, 'x', 7)",
  );
  const backup = await backupOf('dropped');
  await run(
    stage.cluster,
    'TRUNCATE there.dropped',
    'ALTER TABLE there.dropped DROP w',
    'ALTER TABLE there.dropped ADD w int',
  );
  await expect(ycqlEngine.restore.plan(restoreContext(backup, request))).rejects.toMatchObject({
    code: 'RESTORE_COLUMN_DROPPED',
    message: expect.stringMatching(/there\.dropped .*\bw\b.*dropped/),
    remedy: expect.stringContaining('--as-new'),
  });
  expect((await runRestore(restoreContext(backup, asNew))).problems).toEqual([]);
  expect(await valuesOf('SELECT v, w FROM there.dropped')).toEqual([['x', 7]]);
  // What was dropped before the backup is no obstacle: the backup's cells are newer.
  const later = await backupOf('dropped');
  await run(stage.cluster, 'TRUNCATE there.dropped');
  expect((await runRestore(restoreContext(later, request))).problems).toEqual([]);
  expect(await valuesOf('SELECT v, w FROM there.dropped')).toEqual([['x', 7]]);
});
