import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { checkUniverse } from '../../../engines/universe/check.ts';
import { permanent } from '../../../model/errors.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { sweepNotes } from '../../../repository/notes.ts';
import type { Store } from '../../../repository/store.ts';
import { query } from '../../support/sql.ts';
import { counting } from '../agent/node-folder.ts';
import { startUniverse, type Universe } from '../launcher.ts';
import { databaseContents, fill } from './contents.ts';
import { leftBehind } from './outcome.ts';
import { backUp, contextOf, newRef, type Rig, restore, rightAgents, sourceOf } from './rig.ts';

/** What guards a universe: that YSQL is its own, and that backups go on without the right to delete. */
let universe: Universe;
let scratch: ScratchFolder;
let rig: Rig;
beforeAll(async () => {
  scratch = await createScratchFolder('guarded');
  universe = await startUniverse({ tservers: 3, tabletsPerTable: 1 });
  await fill(universe);
  await mkdir(path.join(scratch.path, 'repository'));
  rig = {
    universe,
    store: new DirectoryStore(path.join(scratch.path, 'repository')),
    source: sourceOf(universe, { keyspaces: ['metrics'] }),
    agents: rightAgents(universe, scratch.path),
  };
});
afterAll(async () => {
  await universe.stop();
  await scratch.remove();
});
afterEach(() => universe.disarm());

describe('a YSQL address that leads to another universe', () => {
  it('fails the backup, and is told by doctor', async () => {
    const stranger = await universe.act({ do: 'ysqlOfAnother' });
    const code = 'YSQL_OF_ANOTHER_UNIVERSE';
    await expect(backUp(rig)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(stranger),
    });
    const checks = await checkUniverse(contextOf(rig, newRef()), rig.source, async () => undefined);
    expect(checks.filter(({ ok }) => !ok)).toEqual([
      expect.objectContaining({
        name: expect.stringContaining('YSQL'),
        detail: expect.stringContaining(stranger),
      }),
    ]);
    expect(await leftBehind({ universe, store: () => rig.store as DirectoryStore })).toEqual([]);
  });

  it('refuses the restore at its plan', async () => {
    const backup = await backUp(rig);
    await universe.act({ do: 'ysqlOfAnother' });
    const into = { shop: 'elsewhere', metrics: 'metrics_elsewhere' };
    const { error } = await restore(rig, backup, into);
    expect(error?.code).toBe('YSQL_OF_ANOTHER_UNIVERSE');
  });
});

it('a restore by a role that is no superuser is refused at its plan, before a database is made', async () => {
  const backup = await backUp(rig);
  await query(universe.ysql('yugabyte'), "CREATE ROLE plain LOGIN PASSWORD 'plain' IN ROLE pg_read_all_data");
  const url = new URL(universe.ysqlUrl);
  [url.username, url.password] = ['plain', 'plain'];
  process.env.RIG_PLAIN_URL = url.href;
  const plain = { ...rig, source: { ...rig.source, ysql: { connection: { env: 'RIG_PLAIN_URL' } } } };
  const { error } = await restore(plain, backup, { shop: 'shop_by_plain', metrics: 'metrics_by_plain' });
  expect(error).toMatchObject({ code: 'RESTORE_NEEDS_SUPERUSER', transient: false });
  const made = await query(
    universe.ysql('yugabyte'),
    "SELECT FROM pg_database WHERE datname = 'shop_by_plain'",
  );
  expect(made).toEqual([]);
});

it('credentials that may not delete make backups and restores all the same, and a prune clears away what they left', async () => {
  const denied: Store = {
    ...counting(rig.store).store,
    delete: () => Promise.reject(permanent('STORE_DENIED', 'Access is denied.', 'Ask for it.')),
  };
  const guarded = { ...rig, store: denied };
  const first = await backUp(guarded);
  const second = await backUp(guarded);
  expect([first, second].map(({ manifest }) => manifest.tablets?.count)).toEqual([5, 5]);
  const { error, outcome } = await restore(guarded, second, { shop: 'shop_guarded', metrics: 'm_guarded' });
  expect(error).toBeUndefined();
  expect(outcome?.problems).toEqual([]);
  expect(await databaseContents(universe, 'shop_guarded')).toEqual(await databaseContents(universe, 'shop'));
  const { snapshots } = await universe.view();
  expect(snapshots.filter(({ state }) => state === 'COMPLETE')).toEqual([]);
  await sweepNotes(rig.store, 'rig');
  expect(await leftBehind({ universe, store: () => rig.store as DirectoryStore })).toEqual([]);
});

it('a snapshot that can not be deleted keeps no other one from being deleted', async () => {
  await universe.act({ do: 'refuse', operation: 'delete_snapshot', as: 'internal error', times: 1 });
  await expect(backUp(rig)).rejects.toMatchObject({ code: 'YB_ADMIN_FAILED' });
  const { snapshots } = await universe.view();
  expect(snapshots.filter(({ state }) => state === 'COMPLETE')).toHaveLength(1);
  // The next backup finds it.
  await backUp(rig);
  expect((await universe.view()).snapshots.filter(({ state }) => state === 'COMPLETE')).toEqual([]);
});
