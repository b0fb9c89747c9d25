import { parseArgs } from 'node:util';
import { startCassandra } from '../../../parts/cassandra.ts';
import { runPropertyCampaign } from './campaign.ts';

/**
 * `node test/ycql/property/main.ts --schemas 200 --seed 1 [--rows 40] [--first N] [--only N]… [--at-once N]`; exit code 1 where a cell
 * was not as it should be. `--only` looks at single schemas again, by their number.
 */
const { values } = parseArgs({
  options: {
    schemas: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    rows: { type: 'string', default: '40' },
    first: { type: 'string', default: '0' },
    only: { type: 'string', multiple: true },
    'at-once': { type: 'string', default: '3' },
  },
});
const all = Array.from({ length: Number(values.schemas) }, (_, index) => Number(values.first) + index);
const startedAt = Date.now();
const cluster = await startCassandra({ durable: false });
try {
  const { counts, rows, cells, problems } = await runPropertyCampaign(cluster, {
    seed: Number(values.seed),
    numbers: values.only?.map(Number) ?? all,
    rows: Number(values.rows),
    atOnce: Number(values['at-once']),
    say: (line) => process.stdout.write(`${line}\n`),
  });
  const done = Object.entries(counts).map(([what, count]) => `${count} ${what}`);
  const minutes = Math.round((Date.now() - startedAt) / 60_000);
  const peakMiB = Math.round(process.resourceUsage().maxRSS / 1_024);
  process.stdout.write(
    `seed ${values.seed}: ${done.join(', ')}; ${rows} rows and ${cells} cells compared, ${problems.length} problems; ${minutes} minutes, at most ${peakMiB} MiB\n`,
  );
  process.exitCode = problems.length === 0 ? 0 : 1;
} finally {
  await cluster.stop();
}
