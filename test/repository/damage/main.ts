import { parseArgs } from 'node:util';
import { runArchiveDamageCampaign } from './archive-campaign.ts';
import { runDamageCampaign } from './campaign.ts';

/** `npm run crash:damage -- --cases 10000 --seed 7 [--of backups|archive]`; exit code 1 where a damage passed as OK. */
const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '1000' },
    of: { type: 'string', default: 'both' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
  },
});
const CAMPAIGNS = { backups: runDamageCampaign, archive: runArchiveDamageCampaign } as const;

for (const [name, run] of Object.entries(CAMPAIGNS)) {
  if (values.of !== 'both' && values.of !== name) continue;
  const { tried, counts, problems } = await run({
    ...{ seed: Number(values.seed), cases: Number(values.cases) },
    say: (line) => process.stdout.write(`${line}\n`),
  });
  const kinds = Object.entries(counts).map(([kind, count]) => `${count} ${kind}`);
  process.stdout.write(
    `${name}: ${tried} damages (${kinds.join(', ')}), ${problems.length} not as expected, seed ${values.seed}\n`,
  );
  if (problems.length > 0) process.exitCode = 1;
}
