import { runArchiveDamageCampaign } from './damage/archive-campaign.ts';
import { runDamageCampaign } from './damage/campaign.ts';

/** A sample of the campaign: `npm run crash:damage -- --cases 10000 --seed N`. */
test('whatever is damaged in a backup, its verification finds it', async () => {
  const { tried, problems } = await runDamageCampaign({ seed: 20261130, cases: 80, say: () => undefined });
  expect(problems).toEqual([]);
  expect(tried).toBeGreaterThan(70);
});

test('whatever is damaged in an archive of changes, its verification finds it, but for rows that only a replay misses', async () => {
  const { tried, problems } = await runArchiveDamageCampaign({
    ...{ seed: 20261130, cases: 60 },
    say: () => undefined,
  });
  expect(problems).toEqual([]);
  expect(tried).toBeGreaterThan(40);
});
