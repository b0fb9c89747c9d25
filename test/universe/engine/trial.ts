import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../../model/errors.ts';
import { Dice } from '../../crash/dice.ts';
import { startHoldfast } from '../../support/holdfast.ts';
import { eventually } from '../../support/processes.ts';
import { KINDS, type Kill, type Kind, killOne } from './kills.ts';
import { contentsOf, dropRestored, leftBehind, verdictOf } from './outcome.ts';
import type { Stage } from './stage.ts';

export interface TrialOutcome {
  /** What was killed, and when. */
  readonly kills: readonly (Kill & { readonly when: string })[];
  readonly problems: readonly string[];
}

/** Longest time from the start of a run, or from the last kill, to the next kill. */
const WITHIN_MS = 6_000;
const KILLS_PER_RUN = 4;
const INTO = ['--into', 'shop=shop_again', '--into', 'metrics=metrics_again'];

/** One backup and one restore of it under `kill -9`, and the verdict on both. Never throws: what went wrong is among the problems. */
export async function runTrial(stage: Stage, seed: number, contents: string): Promise<TrialOutcome> {
  const dice = new Dice(seed);
  const kills: TrialOutcome['kills'][number][] = [];
  const problems: string[] = [];
  const underFire = async (what: string, ...args: readonly string[]): Promise<string | undefined> => {
    let isOver = false;
    const command = startHoldfast([...args, '--json'], stage.environment);
    const running = command.end.finally(() => {
      isOver = true;
    });
    const startedAt = Date.now();
    // A command that finds no Temporal is right to say so: the run must have begun.
    await eventually(`the ${what} is announced`, async () => isOver || command.progress() !== '');
    const kinds = shuffled(KINDS, dice);
    for (const kind of kinds.slice(0, KILLS_PER_RUN)) {
      await Promise.race([running, sleep(dice.between(0, WITHIN_MS))]);
      if (isOver) break;
      const when = `${((Date.now() - startedAt) / 1_000).toFixed(1)} s into the ${what}`;
      const kill = await killOne(stage, kind, dice, () => isOver);
      if (kill !== undefined) kills.push({ ...kill, when });
    }
    const { code, stdout, stderr } = await running;
    if (code === 0) return stdout;
    problems.push(`the ${what} ended with ${code}: ${stdout}${stderr.slice(-500)}`);
    return undefined;
  };

  try {
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
    await dropRestored(stage.universe, 'shop_again', 'metrics_again');
    problems.push(...(await leftBehind(stage)));
  } catch (error) {
    problems.push(messageOf(error));
  }
  return { kills, problems };
}

/** `agent 2 1.4 s into the backup`, one after the other. */
export function describeKills({ kills }: TrialOutcome): string {
  return kills.map(({ what, when }) => `${what} ${when}`).join(', ');
}

/** Every kind in an order of its own, so that a campaign has about as many of each. */
function shuffled(kinds: readonly Kind[], dice: Dice): readonly Kind[] {
  return kinds
    .map((kind) => ({ kind, at: dice.number() }))
    .sort((a, b) => a.at - b.at)
    .map(({ kind }) => kind);
}
