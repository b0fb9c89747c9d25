import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../../model/errors.ts';
import { Dice } from '../../crash/dice.ts';
import { startHoldfast } from '../../support/holdfast.ts';
import { eventually } from '../../support/processes.ts';
import { contentsOf, dropRestored, leftBehind, verdictOf } from './outcome.ts';
import type { Stage } from './stage.ts';

export interface TrialOutcome {
  /** In words, what was killed and when. */
  readonly kills: readonly string[];
  readonly problems: readonly string[];
}

/** Longest time from the start of a run, or from the last kill, to the next kill. */
const WITHIN_MS = 12_000;
const KILLS_PER_RUN = 3;
const AWAY_MS = 1_500;
const INTO = ['--into', 'shop=shop_again', '--into', 'metrics=metrics_again'];

/** One backup and one restore of it under `kill -9`, and the verdict on both. */
export async function runTrial(stage: Stage, seed: number, contents: string): Promise<TrialOutcome> {
  const dice = new Dice(seed);
  const kills: string[] = [];
  const problems: string[] = [];
  const underFire = async (what: string, ...args: readonly string[]): Promise<string | undefined> => {
    let isOver = false;
    const command = startHoldfast([...args, '--json'], stage.environment);
    const running = command.end.finally(() => {
      isOver = true;
    });
    // A command that finds no Temporal is right to say so: the run must have begun.
    await eventually(`the ${what} is announced`, async () => isOver || command.progress() !== '');
    for (let count = 0; count < KILLS_PER_RUN && !isOver; count += 1) {
      const afterMs = dice.between(0, WITHIN_MS);
      await Promise.race([running, sleep(afterMs)]);
      if (!isOver)
        kills.push(`${await kill(stage, dice)} ${(afterMs / 1_000).toFixed(1)} s into the ${what}`);
    }
    const { code, stdout, stderr } = await running;
    if (code === 0) return stdout;
    problems.push(`the ${what} ended with ${code}: ${stdout}${stderr.slice(-500)}`);
    return undefined;
  };

  const saved = await underFire('backup', 'backup', stage.planFile);
  if (saved !== undefined) {
    const { backup } = JSON.parse(saved) as { backup: string };
    const verdict = await verdictOf(stage, backup);
    if (verdict !== 'OK') problems.push(`the backup is ${verdict}`);
    const restored = await underFire('restore', 'restore', stage.planFile, '--backup', backup, ...INTO);
    if (restored !== undefined) {
      const found = await contentsOf(stage.universe, 'shop_again', 'metrics_again');
      if (found !== contents) problems.push(`what was restored differs: ${found} instead of ${contents}`);
    }
  }
  try {
    await dropRestored(stage.universe, 'shop_again', 'metrics_again');
  } catch (error) {
    problems.push(messageOf(error));
  }
  problems.push(...(await leftBehind(stage)));
  return { kills, problems };
}

/** Kills one process and starts it again, as a service manager would. */
async function kill(stage: Stage, dice: Dice): Promise<string> {
  const victims = [
    { name: 'worker', process: stage.worker },
    { name: 'temporal', process: stage.temporal },
    ...stage.agents.map((process, agent) => ({ name: `agent ${agent}`, process })),
  ];
  const { name, process } = dice.pick(victims);
  await process.kill9();
  await sleep(AWAY_MS);
  for (let attempts = 1; ; attempts += 1) {
    try {
      await process.restart();
      return name;
    } catch (error) {
      // A worker can't start while Temporal is still on its way.
      if (attempts === 10) throw error;
      await sleep(1_000);
    }
  }
}
