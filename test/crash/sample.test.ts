import { runCampaign } from './campaign.ts';
import type { Path } from './stage.ts';

/** A few faults of the campaign (`npm run crash`), at moments that the seed tells. */
const SAMPLE: readonly { readonly path: Path; readonly seed: number; readonly faults: readonly string[] }[] =
  [
    { path: 'postgresql', seed: 7, faults: ['worker-once', 'wrong-password'] },
    { path: 'yugabytedb', seed: 8, faults: ['worker-once'] },
  ];

test.each(SAMPLE)(
  'on the $path path a backup and a restore get over $faults, and what comes back is what was there',
  async ({ path, seed, faults }) => {
    const lines: string[] = [];
    const report = await runCampaign({
      path,
      seed,
      faults,
      kills: 0,
      megabytes: 12,
      say: (line) => lines.push(line),
    });
    const problems = report.trials.flatMap((trial) => trial.problems);
    // What happened, moment by moment, only where it is needed.
    expect(problems.length === 0 ? [] : lines).toEqual([]);
    expect(report.strikes).toBeGreaterThan(0);
  },
  900_000,
);
