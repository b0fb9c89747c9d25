import { runKills } from './kills.ts';

/** A few kills of the campaign (`npm run crash:archive-kills`): each part once while changes are captured, then some while they are replayed. */
test('whatever part of an archive is killed, no transaction is lost or doubled, and only what is stored is acknowledged', async () => {
  const lines: string[] = [];
  const report = await runKills({ seed: 20, kills: 5, replayKills: 3, say: (line) => lines.push(line) });
  // What happened, moment by moment, only where it is needed.
  expect(report.problems.length === 0 ? [] : [...lines, ...report.problems]).toEqual([]);
  expect(Object.keys(report.struck).length).toBeGreaterThanOrEqual(4);
  expect(report.transactions).toBeGreaterThan(100);
}, 900_000);
