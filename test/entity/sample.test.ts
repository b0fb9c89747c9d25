import { runEntityCampaign } from './campaign.ts';

/** A small part of `npm run crash:entity`. */
test('an entity whose worker and server are killed while signals arrive loses none, and none acts twice', async () => {
  const lines: string[] = [];
  const report = await runEntityCampaign({
    ...{ seed: 11, backups: 9, signals: 60, kills: 3, historyEvents: 80 },
    say: (line) => lines.push(line),
  });
  expect(report.problems.length === 0 ? [] : [...report.problems, ...lines]).toEqual([]);
  expect(report).toMatchObject({ signals: 60, workerKills: 3, serverKills: 1 });
  expect(report.runs).toBeGreaterThan(1);
  expect(report.events).toBeLessThan(600);
  const { signals, backups, workerKills, serverKills } = report;
  process.stdout.write(
    `entity: ${signals} signals, ${backups} backups, ${workerKills} kills of the worker, ${serverKills} of the server\n`,
  );
});
