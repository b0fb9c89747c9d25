import { ycqlEngine } from '../../engines/ycql/engine.ts';
import { Journal } from '../../engines/ycql/restore/journal.ts';
import { lossesIn } from '../../model/manifest.ts';
import { compareKeyspaces, openSession } from './compare.ts';
import { restoreContext, runRestore, takeBackup, ycqlSource } from './harness.ts';
import { ONE_NODE, useCassandra } from './stage.ts';
import { run } from './zoo.ts';

/* A restore notes its progress in a table of its target; a table of that name may be somebody's own. */

const stage = useCassandra({}, 'named');

const source = (keyspace: string) =>
  ycqlSource(stage.cluster, { keyspaces: { include: [keyspace], exclude: [] } });

beforeAll(async () => {
  await run(
    stage.cluster,
    'CREATE TABLE named.holdfast_restore (item text PRIMARY KEY, value int)',
    "INSERT INTO named.holdfast_restore (item, value) VALUES ('mine', 1)",
    'CREATE TABLE named.other (p int PRIMARY KEY, v text)',
    "INSERT INTO named.other (p, v) VALUES (1, 'x')",
  );
});

test('a table of one’s own with the name of the journal is in the backup, and comes back', async () => {
  const backup = await takeBackup(stage.repository, source('named'));
  const tables = backup.manifest.databases.flatMap((database) => database.tables.map(({ table }) => table));
  expect(tables.toSorted()).toEqual(['holdfast_restore', 'other']);
  expect((await runRestore(restoreContext(backup, { into: { named: 'renamed' } }))).problems).toEqual([]);
  const { rows, differences } = await compareKeyspaces(stage.cluster, 'named', 'renamed', tables);
  expect([rows, differences]).toEqual([2, []]);
  const { rows: left } = await stage.client.execute(
    "SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'renamed'",
  );
  expect(left.map(({ table_name }) => table_name).toSorted()).toEqual(['holdfast_restore', 'other']);
  // A restore that is given up leaves it alone too.
  await run(stage.cluster, 'DROP TABLE renamed.other');
  const only = { include: ['named.other'], exclude: [] };
  const given = restoreContext(backup, { into: { named: 'renamed' }, tables: only });
  await ycqlEngine.restore.plan(given);
  await ycqlEngine.restore.prepare(given);
  await ycqlEngine.restore.discard(given);
  const { rows: mine } = await stage.client.execute('SELECT item, value FROM renamed.holdfast_restore');
  expect(mine.map((row) => row.values())).toEqual([['mine', 1]]);
});

test('a restore into a keyspace where somebody’s table has the name is refused by name', async () => {
  await run(
    stage.cluster,
    `CREATE KEYSPACE plain WITH ${ONE_NODE}`,
    'CREATE TABLE plain.t (p int PRIMARY KEY, v text)',
    `CREATE KEYSPACE taken WITH ${ONE_NODE}`,
    'CREATE TABLE taken.holdfast_restore (item text PRIMARY KEY, value text, more int)',
  );
  const backup = await takeBackup(stage.repository, source('plain'));
  const context = restoreContext(backup, { into: { plain: 'taken' } });
  await expect(ycqlEngine.restore.plan(context)).rejects.toMatchObject({
    code: 'RESTORE_NAME_TAKEN',
    message: expect.stringContaining('taken.holdfast_restore'),
    remedy: expect.stringContaining('--into'),
  });
});

test('the journal of a restore that was given up is no table of the backup, and is told', async () => {
  await run(
    stage.cluster,
    `CREATE KEYSPACE unfinished WITH ${ONE_NODE}`,
    'CREATE TABLE unfinished.t (p int PRIMARY KEY, v text)',
  );
  const session = await openSession(stage.cluster);
  try {
    await new Journal(session, 'unfinished', new AbortController().signal).create();
  } finally {
    await session.close();
  }
  const { manifest } = await takeBackup(stage.repository, source('unfinished'));
  expect(manifest.databases.flatMap(({ tables }) => tables.map(({ table }) => table))).toEqual(['t']);
  expect(lossesIn(manifest)).toEqual([
    expect.stringMatching(/^unfinished: .*unfinished\.holdfast_restore.*restore/),
  ]);
});
