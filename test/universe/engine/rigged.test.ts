import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { openUniverse } from '../../../engines/universe/universe.ts';
import { rowsOf } from '../../../model/rows.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { query } from '../../support/sql.ts';
import { startUniverse, type Universe } from '../launcher.ts';
import { databaseContents, fill } from './contents.ts';
import { leftBehind } from './outcome.ts';
import { backUp, contextOf, newRef, type Rig, restore, rightAgents, sourceOf } from './rig.ts';

/* The verbs without Temporal: one universe for what needs no workflow to be seen. */

let scratch: ScratchFolder;
let universe: Universe;
let rig: Rig;

beforeAll(async () => {
  scratch = await createScratchFolder('rigged');
  universe = await startUniverse();
  await fill(universe);
  await mkdir(path.join(scratch.path, 'repository'));
  rig = {
    universe,
    store: new DirectoryStore(path.join(scratch.path, 'repository')),
    source: sourceOf(universe),
    agents: rightAgents(universe, path.join(scratch.path, 'state')),
  };
});
afterAll(async () => {
  await universe.stop();
  await scratch.remove();
});

test('rows that nobody counted are never told as 0: the backup knows what held rows, and the statistics where there are any', async () => {
  await query(universe.ysql('shop'), 'ANALYZE customers');
  const { manifest } = await backUp(rig);
  const tables = manifest.databases[0]?.tables.toSorted((a, b) => a.table.localeCompare(b.table));
  expect(tables).toMatchObject([
    { table: 'customers', rows: 300, rowsAre: 'estimated', holdsRows: true },
    { table: 'nothing', rows: 0 },
    { table: 'orders', rows: 0, rowsAre: 'unknown', holdsRows: true },
  ]);
  expect(tables?.[1]).not.toHaveProperty('rowsAre');
  expect(rowsOf(manifest)).toEqual({ rows: 300, rowsEstimated: true, tablesNotCounted: 1 });
});

test('a restore of a backup without counts finds a table empty that held rows', async () => {
  const backup = await backUp(rig);
  const { outcome } = await restore(rig, backup, { shop: 'shop_poorer' }, undefined, () =>
    query(universe.ysql('shop_poorer'), 'DELETE FROM orders'),
  );
  expect(outcome?.problems).toEqual(['shop_poorer: public.orders is empty, and held rows at the backup']);
  expect(outcome).toMatchObject({
    ...{ rows: null, tablesNotCounted: 2 },
    compared: expect.stringContaining('whether 2 tables that held rows still do'),
  });
});

test('of an older backup, which does not say what held rows, an empty table with data in its tablets is unclear', async () => {
  const { ref, manifest } = await backUp(rig);
  const databases = manifest.databases.map((database) => ({
    ...database,
    tables: database.tables.map(({ rowsAre: _, holdsRows: __, ...table }) => ({ ...table, rows: 0 })),
  }));
  const older = { ref, manifest: { ...manifest, databases } };
  const { outcome } = await restore(rig, older, { shop: 'shop_older' }, undefined, () =>
    query(universe.ysql('shop_older'), 'DELETE FROM orders'),
  );
  expect(outcome).toMatchObject({
    problems: [],
    unclear: true,
    notes: [expect.stringMatching(/^shop_older: public\.orders is empty, though the backup has data of it/)],
  });
});

test('what a first attempt to end an overwriting restore found unclear stays so for the next', async () => {
  const { ref, manifest } = await backUp(rig);
  const databases = manifest.databases.map((database) => ({
    ...database,
    tables: database.tables.map(({ rowsAre: _, holdsRows: __, ...table }) => ({ ...table, rows: 0 })),
  }));
  const older = { ref, manifest: { ...manifest, databases } };
  const emptied = async (working = '') => query(universe.ysql(working), 'DELETE FROM orders');
  const ends = async (finishes: number) =>
    (await restore(rig, older, {}, undefined, emptied, { replace: true, finishes })).outcome;
  const [once, twice] = [await ends(1), await ends(2)];
  expect(once).toMatchObject({ problems: [], unclear: true });
  expect(twice).toMatchObject({ problems: [], unclear: true, compared: once?.compared });
  expect(twice?.notes).toEqual(expect.arrayContaining([expect.stringContaining('public.orders is empty')]));
  // As it was, for the tests that follow.
  await restore(rig, { ref, manifest }, {}, undefined, undefined, { replace: true });
});

test('a manifest that contradicts itself is refused before anything is written', async () => {
  const { ref, manifest } = await backUp(rig);
  const { universe: held, tablets } = manifest;
  if (held === undefined || tablets === undefined) throw new Error('no backup of a universe');
  for (const changed of [
    { ...manifest, universe: { ...held, snapshots: [] } },
    { ...manifest, tablets: { ...tablets, count: tablets.count + 1 } },
    { ...manifest, tablets: { ...tablets, lists: [] } },
  ]) {
    const { error } = await restore(rig, { ref, manifest: changed }, { shop: 'shop_bad' });
    expect(error).toMatchObject({ code: 'BACKUP_INCONSISTENT' });
  }
});

test('a worker that reaches no master refuses the work at once and by name; one master is enough', async () => {
  const verb = contextOf(rig, newRef());
  const away = ['127.0.0.1:1', '[::1]:1'];
  await expect(openUniverse(verb, { ...rig.source, masters: away })).rejects.toMatchObject({
    code: 'UNIVERSE_OUT_OF_REACH',
    transient: true,
    message: expect.stringContaining(`${process.pid}@`),
  });
  const [one = ''] = universe.masters;
  await openUniverse(verb, { ...rig.source, masters: [...away, one] });
});

/* An import whose caller was told that the RPC timed out goes on in the master (issues 15202, 28965). */
test('an import that timed out is waited for, and not begun again while it goes on', async () => {
  // What was split doesn't fit the tables of the new database, so the import re-partitions it.
  for (const table of ['public.customers', 'public.orders', 'public.nothing'])
    await universe.act({ do: 'splitTablet', table });
  const backup = await backUp(rig);
  const before = (await universe.view()).calls.import_snapshot ?? 0;
  await universe.act({ do: 'slowImports', msPerTable: 2_000, times: 1 });

  const { outcome, error } = await restore(rig, backup, { shop: 'shop_again' });

  expect(error).toBeUndefined();
  expect(outcome).toMatchObject({ problems: [] });
  expect(await databaseContents(universe, 'shop_again')).toEqual(await databaseContents(universe, 'shop'));
  expect((await universe.view()).calls.import_snapshot).toBe(before + 2);
  expect(await leftBehind({ universe, store: () => rig.store })).toEqual([]);
});
