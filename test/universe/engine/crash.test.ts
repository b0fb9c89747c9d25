import { fill } from './contents.ts';
import { contentsOf } from './outcome.ts';
import { startStage } from './stage.ts';
import { runTrial } from './trial.ts';

/** One trial; whole campaigns by `npm run crash:universe`. */
test('a backup and its restore come to their end while agents, worker and Temporal are killed', async () => {
  const stage = await startStage({ tservers: 4 });
  try {
    await fill(stage.universe);
    const contents = await contentsOf(stage.universe, 'shop', 'metrics');
    const { kills, problems } = await runTrial(stage, 20261124, contents);
    console.log(`universe: kill -9 of ${kills.join(', ')}`);
    expect(problems).toEqual([]);
  } finally {
    await stage.stop();
  }
});
