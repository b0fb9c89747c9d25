import { execFile } from 'node:child_process';
import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import type { BackupSummary, RestoreSummary } from '../../../model/backup.ts';
import type { DrillOutcome } from '../../../model/drill.ts';
import { listBackups } from '../../../repository/backups/list-backups.ts';
import { backupFolder, OBJECTS_FOLDER } from '../../../repository/layout.ts';
import { query } from '../../support/sql.ts';
import { databaseContents, fill, keyspaceContents } from './contents.ts';
import { drilledPlan, PLAN, type Stage, startStage } from './stage.ts';

/** The documentation's cycle by plan file: a YSQL database and a YCQL keyspace, with one agent process for each tablet server. */
let stage: Stage;
beforeAll(async () => {
  stage = await startStage({ readReplicas: 1 });
  await fill(stage.universe);
});
afterAll(() => stage.stop());

const objects = async () =>
  (await Array.fromAsync(stage.store().list(OBJECTS_FOLDER), ({ key }) => key)).sort();
const newest = async () => {
  const { backups } = await listBackups(stage.store(), PLAN);
  const [first] = backups;
  if (first === undefined) throw new Error('there is no backup');
  return first;
};
const liveSnapshots = async () =>
  (await stage.universe.view()).snapshots.filter(({ state }) => state !== 'DELETED');

test('doctor finds everything in its place', async () => {
  const { healthy, checks } = await stage.json<{ healthy: boolean; checks: readonly object[] }>(
    'doctor',
    stage.planFile,
  );
  expect({ healthy, checks }).toMatchObject({ healthy: true });
});

test('a backup is restored under other names, rows and sequences equal, and nothing is left behind in the universe', async () => {
  const { universe, planFile } = stage;
  const before = [await databaseContents(universe, 'shop'), await keyspaceContents(universe, 'metrics')];
  const backup = await stage.json<BackupSummary>('backup', planFile);
  expect(backup).toMatchObject({ rows: 1_200, tables: 4, verdict: 'OK' });
  await expect(liveSnapshots()).resolves.toEqual([]);

  const restored = await stage.json<RestoreSummary>(
    ...['restore', planFile, '--into', 'shop=shop_again', '--into', 'metrics=metrics_again'],
  );
  expect(restored).toMatchObject({ verdict: 'OK', rows: 1_200, problems: [] });
  expect([
    await databaseContents(universe, 'shop_again'),
    await keyspaceContents(universe, 'metrics_again'),
  ]).toEqual(before);
  await expect(liveSnapshots()).resolves.toEqual([]);
  const { loadBalancerEnabled, tservers } = await universe.view();
  expect({ loadBalancerEnabled, dead: tservers.filter(({ alive }) => !alive) }).toEqual({
    loadBalancerEnabled: true,
    dead: [],
  });
  for (const folder of ['restores/', 'snapshots/']) {
    await expect(Array.fromAsync(stage.store().list(folder))).resolves.toEqual([]);
  }
});

test('every tablet can be put together without Holdfast, by the script that the backup carries', async () => {
  const { backup } = await newest();
  const out = path.join(stage.folder, 'by-hand');
  const cwd = path.join(stage.folder, 'repository', backupFolder({ plan: PLAN, backup }));
  await promisify(execFile)('sh', ['tablets.sh', out], { cwd });
  const tablets = (await readdir(out)).filter((name) => name.startsWith('tablet-'));
  // Five relations of three tablets each.
  expect(tablets).toHaveLength(15);
  await expect(readFile(path.join(cwd, 'RESTORE.md'), 'utf8')).resolves.toContain('import_snapshot');
  const again = promisify(execFile)('sh', ['tablets.sh', out], { cwd });
  await expect(again).rejects.toMatchObject({ stderr: expect.stringContaining('exists already') });
});

test('that script ends with an error where a list of tablets is damaged', async () => {
  const { backup } = await newest();
  const repository = path.join(stage.folder, 'damaged-repository');
  await cp(path.join(stage.folder, 'repository'), repository, { recursive: true });
  const cwd = path.join(repository, backupFolder({ plan: PLAN, backup }));
  const [list] = (await readdir(path.join(cwd, 'lists'))).filter((name) => name.startsWith('tablets-'));
  await writeFile(path.join(cwd, 'lists', list ?? ''), '');
  const out = path.join(stage.folder, 'damaged-by-hand');
  const running = promisify(execFile)('sh', ['tablets.sh', out], { cwd });
  await expect(running).rejects.toMatchObject({ stderr: expect.stringContaining('missing or damaged') });
});

test('a second backup of unchanged data sends only what YugabyteDB itself writes anew with each snapshot', async () => {
  const before = await objects();
  await stage.json<BackupSummary>('backup', stage.planFile);
  const added = (await objects()).filter((key) => !before.includes(key));
  // A MANIFEST for each tablet, gathered in a pack for each task.
  let bytes = 0;
  for (const key of added) bytes += (await stage.store().head(key))?.sizeBytes ?? 0;
  expect(added.length).toBeLessThanOrEqual(stage.universe.tservers.length * 2);
  expect(bytes).toBeLessThan(100_000);
});

test('a restore onto a name that is taken is refused before anything is done', async () => {
  const { code, stderr } = await stage.run(
    ...['restore', stage.planFile, '--into', 'shop=shop_again', '--into', 'metrics=elsewhere'],
  );
  expect(code).toBe(1);
  expect(stderr).toContain('There is already a database shop_again');
  await expect(liveSnapshots()).resolves.toEqual([]);
});

test('what lies in a tablespace that the universe lacks comes back in the default one, and with --globals in the tablespace', async () => {
  const { universe, planFile } = stage;
  const tablespaceIn = async (database: string) => {
    const question = "SELECT tablespace FROM pg_tables WHERE tablename = 'nothing'";
    return (await query(universe.ysql(database), question))[0]?.tablespace;
  };
  // YugabyteDB's tablespaces need no folder; this is as near as PostgreSQL comes.
  await query(universe.ysql('yugabyte'), 'ALTER DATABASE yugabyte SET allow_in_place_tablespaces = on');
  await query(universe.ysql('yugabyte'), "CREATE TABLESPACE near LOCATION ''");
  await query(universe.ysql('shop'), 'ALTER TABLE nothing SET TABLESPACE near');
  const { backup } = await stage.json<BackupSummary>('backup', planFile);
  await query(universe.ysql('shop'), 'ALTER TABLE nothing SET TABLESPACE pg_default');
  await query(universe.ysql('yugabyte'), 'DROP TABLESPACE near');

  const into = (suffix: string) => ['--into', `shop=shop_${suffix}`, '--into', `metrics=metrics_${suffix}`];
  await stage.json('restore', planFile, '--backup', backup, ...into('anywhere'));
  await expect(tablespaceIn('shop_anywhere')).resolves.toBeNull();
  await stage.json('restore', planFile, '--backup', backup, '--globals', ...into('near'));
  await expect(tablespaceIn('shop_near')).resolves.toBe('near');
});

test('a drill restores the newest backup beside the database, counts its rows, and drops the copy', async () => {
  const { universe } = stage;
  const databases = () => query(universe.ysql('yugabyte'), 'SELECT datname FROM pg_database ORDER BY 1');
  const plan = await drilledPlan(stage);
  const { backup } = await stage.json<BackupSummary>('backup', plan);
  const before = await databases();
  const outcome = await stage.json<DrillOutcome>('drill', plan);
  expect(outcome).toMatchObject({ backup, verdict: 'OK', problems: [], restoreMs: expect.any(Number) });
  expect(await databases()).toEqual(before);
  await expect(liveSnapshots()).resolves.toEqual([]);
});

test('a backup that commit 1881cb4 made of such a universe comes back', async () => {
  const { universe, planFile } = stage;
  const fixture = path.resolve(__dirname, '..', '..', 'fixtures', 'backups', 'universe');
  await cp(fixture, path.join(stage.folder, 'repository'), { recursive: true, force: false });
  const restored = await stage.json<RestoreSummary>(
    ...['restore', planFile, '--backup', '20261130T010105Z-d074a2'],
    ...['--into', 'shop=shop_earlier', '--into', 'metrics=metrics_earlier'],
  );
  expect(restored).toMatchObject({ verdict: 'OK', problems: [] });
  expect([
    await databaseContents(universe, 'shop_earlier'),
    await keyspaceContents(universe, 'metrics_earlier'),
  ]).toEqual([await databaseContents(universe, 'shop'), await keyspaceContents(universe, 'metrics')]);
});
