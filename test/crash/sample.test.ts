import { runCampaign } from './campaign.ts';
import type { StageOptions } from './stage.ts';

/** A few faults of the campaign (`npm run crash`), at moments that the seed tells. */
const SAMPLE: readonly (StageOptions & { readonly seed: number; readonly faults: readonly string[] })[] = [
  { path: 'postgresql', seed: 7, faults: ['worker-once', 'wrong-password'], size: { megabytes: 12 } },
  { path: 'yugabytedb', seed: 8, faults: ['worker-once'], size: { megabytes: 12 } },
  { path: 'yugabytedb', sharding: 'range', seed: 9, faults: ['worker-half-way'], size: { megabytes: 40 } },
  {
    path: 'yugabytedb',
    sharding: 'colocated',
    seed: 10,
    faults: ['worker-half-way'],
    size: { megabytes: 40 },
  },
];

test.each(SAMPLE)(
  'on the $path path ($sharding) a backup and a restore get over $faults, and what comes back is what was there',
  async (sample) => {
    const lines: string[] = [];
    const report = await runCampaign({
      ...sample,
      kills: 0,
      say: (line) => lines.push(line),
    });
    const problems = report.trials.flatMap((trial) => trial.problems);
    // What happened, moment by moment, only where it is needed.
    expect(problems.length === 0 ? [] : lines).toEqual([]);
    expect(report.strikes).toBeGreaterThan(0);
  },
  900_000,
);
