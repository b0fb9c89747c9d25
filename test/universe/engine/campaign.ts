/**
 * Crashes of what backs a universe up: `node test/universe/engine/campaign.ts [--trials N] [--seed S]`. Each trial takes a backup and
 * restores it while agents, worker and Temporal are killed with `kill -9` at seeded random moments, and started again; then everything
 * is compared, and nothing may be left behind.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { fill } from './contents.ts';
import { contentsOf } from './outcome.ts';
import { startStage } from './stage.ts';
import { runTrial } from './trial.ts';

const { values } = parseArgs({
  options: { trials: { type: 'string', default: '6' }, seed: { type: 'string', default: '20261124' } },
});
const seed = Number(values.seed);
const stage = await startStage({ tservers: 4 });
let kills = 0;
const failures: string[] = [];
try {
  await fill(stage.universe);
  const contents = await contentsOf(stage.universe, 'shop', 'metrics');
  for (let trial = 0; trial < Number(values.trials); trial += 1) {
    const startedAt = Date.now();
    const outcome = await runTrial(stage, seed + trial, contents);
    kills += outcome.kills.length;
    failures.push(...outcome.problems.map((problem) => `seed ${seed + trial}: ${problem}`));
    const seconds = ((Date.now() - startedAt) / 1_000).toFixed(0);
    process.stdout.write(
      `seed ${seed + trial}: ${outcome.kills.join(', ')}; ${seconds} s; ${outcome.problems.length === 0 ? 'well' : outcome.problems.join('; ')}\n`,
    );
    await sleep(100);
  }
} finally {
  await stage.stop();
}
process.stdout.write(`${values.trials} trials, ${kills} times kill -9, ${failures.length} failures\n`);
process.exitCode = failures.length === 0 ? 0 : 1;
