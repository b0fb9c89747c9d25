import { fill } from './contents.ts';
import { contentsOf } from './outcome.ts';
import { startStage } from './stage.ts';
import { describeKills, runTrial } from './trial.ts';

/** One trial; whole campaigns by `npm run crash:universe`. */
test('a backup and its restore come to their end while agents, worker, yb-admin, Temporal and the S3 gateway are killed', async () => {
  const stage = await startStage({ tservers: 4, s3: true });
  try {
    await fill(stage.universe);
    const contents = await contentsOf(stage.universe, 'shop', 'metrics');
    const outcome = await runTrial(stage, 20261124, contents);
    console.log(`universe: kill -9 of ${describeKills(outcome)}`);
    expect(outcome.problems).toEqual([]);
  } finally {
    await stage.stop();
  }
});
