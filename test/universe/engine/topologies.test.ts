import { tryTopologies } from './topologies.ts';

/** A sample; a campaign is run by hand (topologies-campaign.ts). */
it('a restore places exactly the backup’s files for every pair of tablet and replica, or refuses before restore_snapshot', async () => {
  const seed = Number(process.env.PROPERTY_SEED ?? 20261129);
  const count = Number(process.env.TOPOLOGIES ?? 5);
  const ends: string[] = [];
  for await (const { line, end, problems } of tryTopologies(seed, count)) {
    expect({ line, problems }).toEqual({ line, problems: [] });
    ends.push(end);
  }
  expect(ends).toHaveLength(count);
  expect(ends).toContain('restored');
});
