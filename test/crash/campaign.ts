import { Writers } from './bank.ts';
import { Dice } from './dice.ts';
import { FAULTS, type Fault } from './faults.ts';
import { type Path, Stage, type StageOptions } from './stage.ts';
import { type Expectation, Trial, type TrialReport, type TrialSetting } from './trial.ts';

export interface CampaignOptions extends StageOptions {
  readonly seed: number;
  /** Worker kills to reach; every other fault comes once. */
  readonly kills: number;
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
  const { path, seed, size, sharding, line, say } = options;
  say(
    `${path}: seed ${seed}, ${'rows' in size ? `${size.rows} rows` : `${size.megabytes} MB`}${[sharding, line].map((one) => (one === undefined ? '' : `, ${one}`)).join('')}`,
  );
  const stage = await Stage.start(options);
  const writers = new Writers(stage.sourceUrl, seed);
  const trials: TrialReport[] = [];
  try {
    const setting = { stage, writers, dice: new Dice(seed), say };
    let expected: Expectation = {
      backupMs: Number.POSITIVE_INFINITY,
      restoreMs: Number.POSITIVE_INFINITY,
      besideRowsBytes: Number.POSITIVE_INFINITY,
    };
    const next = async (fault: Fault): Promise<void> => {
      const report = await runTrial({ ...setting, expected }, fault, trials.length + 1);
      trials.push(report);
      // The shortest so far: what else runs on the machine makes them longer, and a moment past the end strikes nothing.
      expected = {
        backupMs: Math.min(expected.backupMs, report.completed?.backupMs ?? expected.backupMs),
        restoreMs: Math.min(expected.restoreMs, report.completed?.restoreMs ?? expected.restoreMs),
        besideRowsBytes: Math.min(
          expected.besideRowsBytes,
          report.completed?.besideRowsBytes ?? expected.besideRowsBytes,
        ),
      };
    };
    await next({ name: 'none' });
    for (const fault of chosen(options)) await next(fault);
    const kills = FAULTS.find(({ name }) => name === 'worker');
    while (kills !== undefined && killsIn(trials) < options.kills && trials.at(-1)?.outcome !== 'broke') {
      await next(kills);
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

async function runTrial(setting: TrialSetting, fault: Fault, number: number): Promise<TrialReport> {
  const { say, stage } = setting;
  say(`${stage.path} ${number}: ${fault.name}`);
  const report = await new Trial(setting, fault).run();
  say(`    ${report.problems.length === 0 ? 'survived' : 'NOT SURVIVED'}: ${report.outcome}`);
  for (const problem of report.problems) say(`    - ${problem}`);
  if (report.problems.length > 0) say(indented(await stage.workerSaid()));
  return report;
}

function indented(text: string): string {
  return text.replaceAll(/^/gm, '      | ');
}
