import { type CassandraCluster, startCassandra } from '../../parts/cassandra.ts';
import { runPropertyCampaign } from './property/campaign.ts';

/** A sample of the campaign: `node test/ycql/property/main.ts --schemas 200 --seed N`. */
const SEED = Number(process.env.PROPERTY_SEED ?? 20261129);

let cluster: CassandraCluster;

beforeAll(async () => {
  cluster = await startCassandra({ durable: false });
});

afterAll(() => cluster?.stop());

test('whatever the schema and the rows, each cell comes back in value, time of writing and time left, or is a listed loss', async () => {
  const lines: string[] = [];
  const { problems, counts, rows } = await runPropertyCampaign(cluster, {
    ...{ seed: SEED, numbers: [0, 1, 2, 3, 4, 5], rows: 24, atOnce: 3 },
    say: (line) => lines.push(line),
  });
  // What happened, schema by schema, only where it is needed.
  expect(problems.length === 0 ? [] : lines).toEqual([]);
  expect(counts).toMatchObject({ 'through the YCQL proxy': 2, 'into a new keyspace': 4 });
  expect(rows).toBeGreaterThan(50);
}, 600_000);
