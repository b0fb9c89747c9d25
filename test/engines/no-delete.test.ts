import type { BackupContext } from '../../engines/engine.ts';
import { ycqlEngine } from '../../engines/ycql/engine.ts';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import { startCassandra } from '../../parts/cassandra.ts';
import { startPostgres } from '../../parts/postgres.ts';
import { createScratchFolder } from '../../parts/scratch.ts';
import { verifyBackup } from '../../repository/backups/verify.ts';
import { backupFolder, isWork } from '../../repository/layout.ts';
import { sweepNotes } from '../../repository/notes.ts';
import { sweepObjects } from '../../repository/objects/sweep-objects.ts';
import { removeOrphans } from '../../repository/retention/sweep.ts';
import { backupContext } from '../support/engine-runs.ts';
import { type GuardedStores, startGuardedStores } from '../support/guarded-stores.ts';
import { query } from '../support/sql.ts';
import { wholeBackup } from '../support/whole-backup.ts';
import { fill } from '../universe/engine/contents.ts';
import { backUp, rightAgents, sourceOf } from '../universe/engine/rig.ts';
import { startUniverse } from '../universe/launcher.ts';
import { ycqlSource } from '../ycql/harness.ts';
import { run } from '../ycql/zoo.ts';
import { ysqlSource } from '../ysql/harness.ts';

/*
 * Under the documented policies (docs/retention.md), on a real gateway: credentials that may not delete make one backup after another
 * with every engine, and a prune, which has its own, clears what they left.
 */

let stores: GuardedStores;

beforeAll(async () => {
  stores = await startGuardedStores();
});

afterAll(() => stores?.stop());

/** Two backups, both whole and both with leftovers; after a prune the leftovers are gone and the backups are whole still. */
async function expectBackupsWithoutDelete(plan: string, backUpOnce: () => Promise<string>): Promise<void> {
  const { writer, pruner } = stores;
  const leftOver = async () =>
    (await Array.fromAsync(writer.list(`backups/${plan}/`), ({ key }) => key)).filter(isWork);
  const backups = [await backUpOnce()];
  const left = await leftOver();
  expect(left).not.toEqual([]);
  await expect(writer.delete(left.slice(0, 1))).rejects.toMatchObject({ code: 'STORE_DENIED' });
  backups.push(await backUpOnce());
  expect((await leftOver()).length).toBeGreaterThan(left.length);

  const removed = await removeOrphans(pruner, plan, 0);
  await sweepNotes(pruner, plan);
  await sweepObjects(pruner, { graceMs: 0 });
  expect(removed.deletedObjects).toBeGreaterThan(0);
  expect(await leftOver()).toEqual([]);
  for (const backup of backups) {
    const report = await verifyBackup(writer, { plan, backup }, 'content');
    expect(report).toMatchObject({ verdict: 'OK', problems: [] });
    expect(report.checkedObjects).toBeGreaterThan(0);
  }
}

/** A context of a new backup of `plan`, with the store that may not delete. */
function contextFor(plan: string, url?: string): BackupContext {
  const repository = { store: stores.writer, path: '/nowhere', remove: async () => undefined };
  const context = backupContext(repository, { secret: async () => url ?? '' });
  const ref = { ...context.ref, plan };
  return { ...context, ref, folder: backupFolder(ref) };
}

test('engine ysql', async () => {
  const postgres = await startPostgres();
  try {
    await query(postgres.url('postgres'), 'CREATE DATABASE shop');
    await query(postgres.url('shop'), 'CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 50)');
    await expectBackupsWithoutDelete('ysql', async () => {
      const { backup, rows } = await wholeBackup(
        ysqlEngine,
        contextFor('ysql', postgres.url('shop')),
        ysqlSource(),
      );
      expect(rows).toBe(50);
      return backup;
    });
  } finally {
    await postgres.stop();
  }
});

test('engine ycql', async () => {
  const cluster = await startCassandra();
  try {
    const oneNode = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
    await run(
      cluster,
      `CREATE KEYSPACE shop WITH replication = ${oneNode}`,
      'CREATE TABLE shop.t (a int PRIMARY KEY, b text)',
      "INSERT INTO shop.t (a, b) VALUES (1, 'one')",
      "INSERT INTO shop.t (a, b) VALUES (2, 'two')",
    );
    const source = ycqlSource(cluster, { keyspaces: { include: ['shop'], exclude: [] } });
    await expectBackupsWithoutDelete('ycql', async () => {
      const { backup, rows } = await wholeBackup(ycqlEngine, contextFor('ycql'), source);
      expect(rows).toBe(2);
      return backup;
    });
  } finally {
    await cluster.stop();
  }
});

test('engine universe', async () => {
  const scratch = await createScratchFolder('no-delete');
  const universe = await startUniverse({ tservers: 3, tabletsPerTable: 1 });
  try {
    await fill(universe);
    const rig = {
      universe,
      store: stores.writer,
      source: sourceOf(universe, { keyspaces: ['metrics'] }),
      agents: rightAgents(universe, scratch.path),
    };
    await expectBackupsWithoutDelete('rig', async () => {
      const { ref, manifest } = await backUp(rig);
      expect(manifest.tablets?.count).toBe(5);
      return ref.backup;
    });
    // Each backup deletes its snapshots, though it may not delete its notes of them.
    const { snapshots } = await universe.view();
    expect(snapshots.filter(({ state }) => state === 'COMPLETE')).toEqual([]);
    expect(await Array.fromAsync(stores.writer.list('snapshots/'), ({ key }) => key)).toEqual([]);
  } finally {
    await universe.stop();
    await scratch.remove();
  }
});
