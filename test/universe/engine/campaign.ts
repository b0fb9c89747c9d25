/**
 * Crashes of what backs a universe up: `node test/universe/engine/campaign.ts [--kills N] [--trials N] [--seed S] [--profile 2.18|2024.2|2025.2]`. Each trial takes a
 * backup and restores it while agents, the worker, its `yb-admin` children, Temporal and the S3 gateway that holds the repository are
 * killed with `kill -9` at seeded random moments, and started again; then everything is compared, and nothing may be left behind. The
 * campaign ends when there were N kills or N trials, whichever is first; without either, after 6 trials.
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { PROFILES } from '../simulator/profiles.ts';
import { fill } from './contents.ts';
import { KINDS, type Kill } from './kills.ts';
import { contentsOf } from './outcome.ts';
import { type Stage, startStage } from './stage.ts';
import { describeKills, runTrial } from './trial.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string' },
    trials: { type: 'string' },
    seed: { type: 'string', default: '20261124' },
    profile: { type: 'string', default: '2025.2' },
  },
});
const seed = Number(values.seed);
const wanted = {
  kills: Number(values.kills ?? Number.POSITIVE_INFINITY),
  trials: Number(values.trials ?? (values.kills === undefined ? 6 : Number.POSITIVE_INFINITY)),
};
if (Object.values({ seed, ...wanted }).some(Number.isNaN))
  throw new Error('--kills, --trials and --seed take a number each');

const profile = Object.values(PROFILES).find(({ name }) => name === values.profile)?.name;
if (profile === undefined) throw new Error(`--profile is one of ${Object.keys(PROFILES).join(', ')}`);

const LOG_LINES = 40;
const say = (line: string) => process.stdout.write(`${line}\n`);

const kills: Kill[] = [];
let trials = 0;
let failed = 0;
const stage = await startStage({ tservers: 4, s3: true, profile });
try {
  await fill(stage.universe);
  const contents = await contentsOf(stage.universe, 'shop', 'metrics');
  while (trials < wanted.trials && kills.length < wanted.kills) {
    const startedAt = Date.now();
    const outcome = await runTrial(stage, seed + trials, contents);
    kills.push(...outcome.kills);
    const isWell = outcome.problems.length === 0;
    const seconds = ((Date.now() - startedAt) / 1_000).toFixed(0);
    say(
      `seed ${seed + trials}: ${describeKills(outcome)}; ${seconds} s; ${isWell ? 'well' : outcome.problems.join('; ')}; ${kills.length} kills so far`,
    );
    if (!isWell) {
      failed += 1;
      say(await endOfLog(stage));
    }
    trials += 1;
  }
} finally {
  await stage.stop();
  say(
    `${trials} trials, ${kills.length} times kill -9 (${KINDS.map((kind) => `${kind}: ${kills.filter((kill) => kill.kind === kind).length}`).join(', ')}), ${failed} trials failed`,
  );
}
process.exitCode = failed === 0 ? 0 : 1;

async function endOfLog({ worker }: Stage): Promise<string> {
  const lines = (await readFile(worker.logFile, 'utf8')).trimEnd().split('\n');
  return lines.slice(-LOG_LINES).join('\n').replaceAll(/^/gm, '    | ');
}
