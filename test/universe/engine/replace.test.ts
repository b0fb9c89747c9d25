import type { BackupSummary, RestoreSummary } from '../../../model/backup.ts';
import { startHoldfast } from '../../support/holdfast.ts';
import { eventually } from '../../support/processes.ts';
import { query } from '../../support/sql.ts';
import { databaseContents, fill } from './contents.ts';
import { leftBehind } from './outcome.ts';
import { type Stage, startStage } from './stage.ts';

/** Restores in the place of what is there, and what a restore of a universe can't do. */
let stage: Stage;
let shopPlan: string;
beforeAll(async () => {
  stage = await startStage();
  await fill(stage.universe);
  shopPlan = await stage.planOf('shop', ['shop'], []);
});
afterAll(() => stage.stop());

const namesLike = async (pattern: string) =>
  (
    await query(
      stage.universe.ysql('yugabyte'),
      `SELECT datname FROM pg_database WHERE datname LIKE '${pattern}'`,
    )
  ).map(({ datname }) => String(datname));

test('a database takes the place of the one that is there, which was backed up first and is kept under another name, while the worker is killed', async () => {
  const { universe, environment, worker } = stage;
  const before = await databaseContents(universe, 'shop');
  const { backup } = await stage.json<BackupSummary>('backup', shopPlan);
  await query(universe.ysql('shop'), 'UPDATE orders SET note = NULL', 'CREATE TABLE latecomer (id int)');
  const spoilt = await databaseContents(universe, 'shop');
  const restore = startHoldfast(
    ['restore', shopPlan, '--backup', backup, '--replace', '--json'],
    environment,
  );
  await eventually('a snapshot is imported', async () =>
    (await universe.view()).snapshots.some(({ imported }) => imported),
  );
  await worker.kill9();
  await worker.restart();
  const { code, stdout, stderr } = await restore.end;
  if (code !== 0) throw new Error(`${stdout}\n${stderr}`);
  const summary = JSON.parse(stdout) as RestoreSummary;
  const kept = summary.databases[0]?.kept ?? '';
  expect(summary).toMatchObject({ rows: 1_200, problems: [], databases: [{ from: 'shop', to: 'shop' }] });
  expect(await databaseContents(universe, 'shop')).toEqual(before);
  expect(await databaseContents(universe, kept)).toEqual(spoilt);
  expect((await namesLike('shop%')).sort()).toEqual(['shop', kept].sort());
  await expect(leftBehind(stage)).resolves.toEqual([]);

  // What was there can be had again from the safety backup, even where nothing is in its place any more.
  await query(universe.ysql('yugabyte'), 'DROP DATABASE shop', `DROP DATABASE "${kept}"`);
  const again = await stage.json<RestoreSummary>(
    ...['restore', shopPlan, '--backup', summary.safetyBackup ?? '', '--replace'],
  );
  expect(again.databases).toEqual([{ from: 'shop', to: 'shop' }]);
  expect(await databaseContents(universe, 'shop')).toEqual(spoilt);
});

test('a restore in its place that fails leaves what is there as it is', async () => {
  const { universe } = stage;
  const before = await databaseContents(universe, 'shop');
  await universe.act({ do: 'restorations', end: 'failed' });
  const { code, stdout } = await stage.run('restore', shopPlan, '--replace', '--no-safety-backup', '--json');
  await universe.disarm();
  expect({ code, error: JSON.parse(stdout).error.code }).toEqual({ code: 1, error: 'RESTORE_FAILED' });
  expect(await databaseContents(universe, 'shop')).toEqual(before);
  expect(await namesLike('shop%')).toEqual(['shop']);
  await expect(leftBehind(stage)).resolves.toEqual([]);
});

test('a database whose changes others read is not replaced: doctor says so, and the restore is refused before anything is written', async () => {
  const { universe } = stage;
  const before = await databaseContents(universe, 'shop');
  await universe.act({ do: 'addNeighbour', kind: 'change-data-stream', namespace: 'ysql.shop', name: 's' });
  try {
    const { checks } = await stage.json<{ checks: readonly { name: string; ok: boolean; detail: string }[] }>(
      ...['doctor', shopPlan],
    );
    expect(checks.find(({ name }) => name === 'change data capture')).toMatchObject({
      ok: true,
      detail: expect.stringContaining('change data streams of database shop'),
    });
    const { code, stdout } = await stage.run('restore', shopPlan, '--replace', '--json');
    const { error } = JSON.parse(stdout) as { error: { code: string; message: string; remedy: string } };
    expect({ code, error }).toMatchObject({
      code: 1,
      error: {
        code: 'OVERWRITE_BREAKS_OTHERS',
        message: expect.stringContaining('change data streams of database shop'),
        remedy: expect.stringContaining('delete_change_data_stream'),
      },
    });
    // Beside, nobody is disturbed.
    await stage.json('restore', shopPlan, '--into', 'shop_beside');
    const backedUp = await databaseContents(universe, 'shop_beside');
    await query(universe.ysql('yugabyte'), 'DROP DATABASE shop_beside');
    expect(await databaseContents(universe, 'shop')).toEqual(before);
    // Who knows what breaks may say so, and is told again what it was.
    const broken = await stage.json<RestoreSummary>(
      ...['restore', shopPlan, '--replace', '--break-others', '--no-safety-backup'],
    );
    expect(broken.notes).toEqual([
      expect.stringMatching(
        /^broken, as asked for: change data streams of database shop.*delete_change_data_stream/s,
      ),
    ]);
    for (const { kept } of broken.databases)
      if (kept !== undefined) await query(universe.ysql('yugabyte'), `DROP DATABASE "${kept}"`);
    expect(await databaseContents(universe, 'shop')).toEqual(backedUp);
  } finally {
    await universe.act({ do: 'removeNeighbours' });
  }
  await expect(leftBehind(stage)).resolves.toEqual([]);
});

test('what can not be done with a distributed snapshot is refused before anything is written, with the way that does work', async () => {
  const plan = await stage.planOf('both', ['shop'], ['metrics']);
  await stage.json<BackupSummary>('backup', plan);
  const refused = async (...options: readonly string[]) => {
    const { code, stdout } = await stage.run('restore', plan, ...options, '--json');
    const { error } = JSON.parse(stdout) as { error: { code: string; message: string; remedy?: string } };
    expect({ code, error: error.code }).toEqual({ code: 1, error: 'RESTORE_UNSUPPORTED' });
    return `${error.message}. ${error.remedy}`;
  };
  await expect(refused('--tables', 'public.orders')).resolves.toMatch(/choice of tables.*copy the tables/s);
  await expect(refused('--schema-only')).resolves.toMatch(/its schema alone.*script in the backup/s);
  await expect(refused('--data-only')).resolves.toMatch(/its data alone.*beside/s);
  await expect(refused('--owner', 'postgres')).resolves.toMatch(/another owner.*REASSIGN OWNED/s);
  await expect(refused('--connection-env', 'YSQL_URL')).resolves.toMatch(
    /connection.*plan with its masters/s,
  );
  await expect(refused('--replace')).resolves.toMatch(/keyspaces.*--into metrics=metrics/s);
  await expect(leftBehind(stage)).resolves.toEqual([]);
});

test('a keyspace that is not there is no empty one', async () => {
  const plan = await stage.planOf('misspelt', [], ['metric']);
  const { code, stdout } = await stage.run('backup', plan, '--json');
  const { error } = JSON.parse(stdout) as { error: { code: string; message: string } };
  expect({ code, error: error.code }).toEqual({ code: 1, error: 'UNIVERSE_NO_DATABASE' });
  expect(error.message).toContain('no keyspace metric');
});
