import { Writers } from './bank.ts';
import { Dice } from './dice.ts';
import { FAULTS, type Fault } from './faults.ts';
import { type Path, Stage } from './stage.ts';
import { type Expectation, Trial, type TrialReport, type TrialSetting } from './trial.ts';

export interface CampaignOptions {
  readonly path: Path;
  readonly seed: number;
  /** Worker kills to reach; every other fault comes once. */
  readonly kills: number;
  readonly megabytes: number;
  /** Only these faults. */
  readonly faults?: readonly string[];
  say(line: string): void;
}

export interface CampaignReport {
  readonly path: Path;
  readonly trials: readonly TrialReport[];
  readonly strikes: number;
  readonly survived: number;
  readonly workerKills: number;
}

/** Each fault once, then worker kills until there are enough of them; all chosen by the seed. */
export async function runCampaign(options: CampaignOptions): Promise<CampaignReport> {
  const { path, seed, megabytes, say } = options;
  say(`${path}: seed ${seed}, ${megabytes} MB`);
  const stage = await Stage.start(path, megabytes);
  const writers = new Writers(stage.sourceUrl, seed);
  const trials: TrialReport[] = [];
  try {
    const setting = { stage, writers, dice: new Dice(seed), say };
    const calm = await runTrial(
      { ...setting, expected: { backupMs: 0, restoreMs: 0 } },
      { name: 'none' },
      trials,
    );
    const expected: Expectation = { backupMs: calm.backupMs, restoreMs: calm.restoreMs };
    for (const fault of chosen(options)) await runTrial({ ...setting, expected }, fault, trials);
    const kills = FAULTS.find(({ name }) => name === 'worker');
    while (kills !== undefined && killsIn(trials) < options.kills && trials.at(-1)?.outcome !== 'broke') {
      await runTrial({ ...setting, expected }, kills, trials);
    }
  } finally {
    await writers.stop();
    await stage.stop();
  }
  const strikes = (of: readonly TrialReport[]) => of.reduce((sum, trial) => sum + trial.strikes.length, 0);
  return {
    path,
    trials,
    strikes: strikes(trials),
    survived: strikes(trials.filter(({ problems }) => problems.length === 0)),
    workerKills: killsIn(trials),
  };
}

function chosen({ path, faults }: CampaignOptions): readonly Fault[] {
  return FAULTS.filter(
    (fault) =>
      fault.name !== 'none' &&
      (fault.path === undefined || fault.path === path) &&
      (faults === undefined || faults.includes(fault.name)),
  );
}

function killsIn(trials: readonly TrialReport[]): number {
  return trials.flatMap(({ strikes }) => strikes).filter((strike) => strike.includes('kill -9 of worker'))
    .length;
}

async function runTrial(setting: TrialSetting, fault: Fault, trials: TrialReport[]): Promise<TrialReport> {
  const { say, stage } = setting;
  say(`${stage.path} ${trials.length + 1}: ${fault.name}`);
  const report = await new Trial(setting, fault).run();
  trials.push(report);
  say(`    ${report.problems.length === 0 ? 'survived' : 'NOT SURVIVED'}: ${report.outcome}`);
  for (const problem of report.problems) say(`    - ${problem}`);
  if (report.problems.length > 0) say(indented(await stage.workerSaid()));
  return report;
}

function indented(text: string): string {
  return text.replaceAll(/^/gm, '      | ');
}
