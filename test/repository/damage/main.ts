import { parseArgs } from 'node:util';
import { runDamageCampaign } from './campaign.ts';

/** `npm run crash:damage -- --cases 10000 --seed 7`; exit code 1 where a damage passed as OK. */
const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
  },
});
const { tried, counts, problems } = await runDamageCampaign({
  ...{ seed: Number(values.seed), cases: Number(values.cases) },
  say: (line) => process.stdout.write(`${line}\n`),
});
const kinds = Object.entries(counts).map(([kind, count]) => `${count} ${kind}`);
process.stdout.write(
  `${tried} damages (${kinds.join(', ')}), ${problems.length} not found, seed ${values.seed}\n`,
);
process.exitCode = problems.length === 0 ? 0 : 1;
