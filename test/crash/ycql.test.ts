import { runYcqlCampaign } from './ycql.ts';

/** A fault of the campaign (`npm run crash -- --path ycql`), at a moment that the seed tells. */
test('on the ycql path a backup and a restore get over the death of all workers, and every cell comes back', async () => {
  const lines: string[] = [];
  const report = await runYcqlCampaign({
    seed: 9,
    kills: 2,
    rows: 150,
    nodes: 1,
    faults: ['all-workers'],
    say: (line) => lines.push(line),
  });
  // What happened, moment by moment, only where it is needed.
  expect(report.problems.length === 0 ? [] : lines).toEqual([]);
  expect(report.struck).toEqual({ 'all-workers': 2 });
});

/** A ring of three nodes is too heavy for every run: `HOLDFAST_TEST_RING=1`. */
const inRing = process.env.HOLDFAST_TEST_RING === '1' ? test : test.skip;

inRing('in a ring of three nodes of which one is killed, every cell comes back', async () => {
  const lines: string[] = [];
  const report = await runYcqlCampaign({
    seed: 10,
    kills: 2,
    rows: 150,
    nodes: 3,
    faults: ['cassandra'],
    say: (line) => lines.push(line),
  });
  expect(report.problems.length === 0 ? [] : lines).toEqual([]);
  expect(report.struck).toEqual({ cassandra: 2 });
});
