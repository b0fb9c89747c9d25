import { ycqlEngine } from '../../engines/ycql/engine.ts';
import { startCassandra } from '../../parts/cassandra.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { verifyBackup } from '../../repository/backups/verify.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { ensureRepository } from '../../repository/repository.ts';
import { backupSide, newPeople, type People, restoreSide } from '../repository/encryption/recipients.ts';
import { clearFiles, search } from '../repository/encryption/thief.ts';
import { backupContext, restoreContext, runBackup, runRestore } from '../support/engine-runs.ts';
import { databaseContents, fill, keyspaceContents } from '../universe/engine/contents.ts';
import { backUp, restore, rightAgents, sourceOf } from '../universe/engine/rig.ts';
import { startUniverse } from '../universe/launcher.ts';
import { compareKeyspaces } from '../ycql/compare.ts';
import { ycqlSource } from '../ycql/harness.ts';
import { run } from '../ycql/zoo.ts';

/*
 * Engines know nothing of encryption: what they write passes the same door. One that makes a backup has no identity, and one that restores has.
 * Engine ysql is driven by the command line in test/e2e/encryption.test.ts.
 */

let scratch: ScratchFolder;
let people: People;
beforeAll(async () => {
  scratch = await createScratchFolder('encrypted-engines');
  people = await newPeople();
});
afterAll(() => scratch.remove());

test('engine ycql: a backup shows nothing, and every cell comes back', async () => {
  const raw = new DirectoryStore(scratch.path);
  const cluster = await startCassandra();
  try {
    await run(
      cluster,
      "CREATE KEYSPACE treasury WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
      'CREATE TABLE treasury.doubloons (a int PRIMARY KEY, buried_where text)',
      ...Array.from(
        { length: 40 },
        (_, row) =>
          `INSERT INTO treasury.doubloons (a, buried_where) VALUES (${row}, 'under-the-old-oak-${row}')`,
      ),
    );
    const store = backupSide(raw, people);
    const place = { path: scratch.path, remove: async () => undefined };
    const context = backupContext({ ...place, store }, { secret: async () => '' });
    await ensureRepository(store);
    const source = ycqlSource(cluster, { keyspaces: { include: ['treasury'], exclude: [] } });
    const backup = await runBackup(ycqlEngine, context, source);
    expect(backup.objects.length).toBeGreaterThan(0);
    expect(
      await search(scratch.path, ['treasury', 'doubloons', 'buried_where', 'under-the-old-oak']),
    ).toEqual({});
    expect(await clearFiles(scratch.path)).toEqual([]);

    const into = { into: { treasury: 'treasury_again' } };
    const elsewhere = { into: { treasury: 'treasury_blind' } };
    const blind = restoreContext(backup, elsewhere, { store: backupSide(raw, people) });
    await expect(runRestore(ycqlEngine, blind)).rejects.toMatchObject({ code: 'ENCRYPTION_NO_IDENTITY' });
    await runRestore(ycqlEngine, restoreContext(backup, into, { store: restoreSide(raw, people) }));
    const found = await compareKeyspaces(cluster, 'treasury', 'treasury_again', ['doubloons']);
    expect(found).toMatchObject({ rows: 40, differences: [] });
  } finally {
    await cluster.stop();
  }
});

test('engine universe: agents without an identity share objects between backups, and an identity restores them', async () => {
  const folder = await createScratchFolder('encrypted-universe');
  const raw = new DirectoryStore(folder.path);
  const universe = await startUniverse({ tservers: 3, tabletsPerTable: 1 });
  try {
    await fill(universe);
    const store = backupSide(raw, people);
    await ensureRepository(store);
    const rig = {
      universe,
      store,
      source: sourceOf(universe, { keyspaces: ['metrics'] }),
      agents: rightAgents(universe, scratch.path),
    };
    await backUp(rig);
    const bytes = async () =>
      (await Array.fromAsync(store.list('objects/'))).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const before = await bytes();
    const second = await backUp(rig);
    expect(before).toBeGreaterThan(0);
    // Nothing has changed but the MANIFEST that YugabyteDB writes for each tablet anew.
    expect(await bytes()).toBeLessThan(before * 1.5);
    expect(await search(folder.path, ['customers', 'orders_by_customer', 'samples', 'note 12'])).toEqual({});
    expect(await clearFiles(folder.path)).toEqual([]);

    const blind = backupSide(raw, people);
    await expect(verifyBackup(blind, second.ref, 'checksums')).resolves.toMatchObject({ verdict: 'OK' });
    const content = await verifyBackup(blind, second.ref, 'content');
    expect(content).toMatchObject({
      verdict: 'INCONCLUSIVE',
      problems: [expect.stringContaining('ENCRYPTION_NO_IDENTITY')],
    });
    const reader = restoreSide(raw, people);
    await expect(verifyBackup(reader, second.ref, 'content')).resolves.toMatchObject({ verdict: 'OK' });
    const contents = [await databaseContents(universe, 'shop'), await keyspaceContents(universe, 'metrics')];
    const { error } = await restore({ ...rig, store: reader }, second, {
      shop: 'shop_again',
      metrics: 'metrics_again',
    });
    expect(error).toBeUndefined();
    expect([
      await databaseContents(universe, 'shop_again'),
      await keyspaceContents(universe, 'metrics_again'),
    ]).toEqual(contents);
  } finally {
    await universe.stop();
    await folder.remove();
  }
});
