import type { BackupSummary, RestoreSummary } from '../../../model/backup.ts';
import type { ProfileName } from '../model.ts';
import { fill } from './contents.ts';
import { contentsOf, leftBehind } from './outcome.ts';
import { startStage } from './stage.ts';

/** The oldest release line in `npm test`, which differs most from the newest that everything else runs on. */
const profiles: readonly ProfileName[] =
  process.env.HOLDFAST_UNIVERSE_FAULTS === 'all' ? ['2.18', '2024.2'] : ['2.18'];

test.each(profiles)('a universe of %s is backed up and restored by plan file', async (profile) => {
  const stage = await startStage({ profile });
  try {
    await fill(stage.universe);
    const contents = await contentsOf(stage.universe, 'shop', 'metrics');
    const { verdict } = await stage.json<BackupSummary & { verdict: string }>('backup', stage.planFile);
    expect(verdict).toBe('OK');
    const into = ['--into', 'shop=shop_again', '--into', 'metrics=metrics_again'];
    const restored = await stage.json<RestoreSummary>('restore', stage.planFile, ...into);
    expect(restored).toMatchObject({ problems: [] });
    expect(await contentsOf(stage.universe, 'shop_again', 'metrics_again')).toBe(contents);
    await expect(leftBehind(stage)).resolves.toEqual([]);
  } finally {
    await stage.stop();
  }
});
