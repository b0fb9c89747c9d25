import { parseArgs } from 'node:util';
import { startCassandra } from '../../../parts/cassandra.ts';
import { runPropertyCampaign } from './campaign.ts';

/** `node test/ycql/property/main.ts --schemas 200 --seed 1 [--rows 40] [--first N]`; exit code 1 where a cell was not as it should be. */
const { values } = parseArgs({
  options: {
    schemas: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    rows: { type: 'string', default: '40' },
    first: { type: 'string', default: '0' },
  },
});
const cluster = await startCassandra({ durable: false });
try {
  const { counts, rows, cells, problems } = await runPropertyCampaign(cluster, {
    schemas: Number(values.schemas),
    seed: Number(values.seed),
    rows: Number(values.rows),
    first: Number(values.first),
    say: (line) => process.stdout.write(`${line}\n`),
  });
  const done = Object.entries(counts).map(([what, count]) => `${count} ${what}`);
  process.stdout.write(
    `seed ${values.seed}: ${done.join(', ')}; ${rows} rows and ${cells} cells compared, ${problems.length} problems\n`,
  );
  process.exitCode = problems.length === 0 ? 0 : 1;
} finally {
  await cluster.stop();
}
