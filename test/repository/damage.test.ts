import { runDamageCampaign } from './damage/campaign.ts';

/** A sample of the campaign: `npm run crash:damage -- --cases 10000 --seed N`. */
test('whatever is damaged in a backup, its verification finds it', async () => {
  const { tried, problems } = await runDamageCampaign({ seed: 20261130, cases: 80, say: () => undefined });
  expect(problems).toEqual([]);
  expect(tried).toBeGreaterThan(70);
});
