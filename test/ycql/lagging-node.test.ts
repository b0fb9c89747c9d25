import { setTimeout as sleep } from 'node:timers/promises';
import { readTable } from '../../engines/ycql/catalog.ts';
import { connect } from '../../engines/ycql/connect.ts';
import { planReading } from '../../engines/ycql/reading.ts';
import { Journal } from '../../engines/ycql/restore/journal.ts';
import { HoldfastError } from '../../model/errors.ts';
import { type CassandraCluster, startCassandra } from '../../parts/cassandra.ts';
import { plainClient } from './zoo.ts';

/*
 * A node that was away knows nothing of what was made meanwhile until it hears of it, and says of all of it that it doesn't exist. The
 * ring is too heavy for every run: `HOLDFAST_TEST_RING=1`. The campaign `npm run crash -- --path ycql --nodes 3` comes upon it by itself.
 */

const inRing = process.env.HOLDFAST_TEST_RING === '1' ? test : test.skip;

const LOOKS_TOLD = 9;

let ring: CassandraCluster | undefined;

afterAll(() => ring?.stop());

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(500);
}

/** Cuts the second node off, makes a keyspace meanwhile, and lets the node come back after a while; the keyspace's name. */
async function missedBySecondNode(cluster: CassandraCluster, keyspace: string): Promise<void> {
  await cluster.nodetool(1, 'disablegossip');
  await until(async () => /^DN /m.test(await cluster.nodetool(0, 'status')));
  const client = plainClient({ ...cluster, contactPoints: [cluster.contactPoints[0] ?? ''] });
  try {
    // The driver may ask either node; the one that is cut off makes nothing for others.
    await client.connect();
    const host = client.hosts.values().find(({ address }) => address.startsWith('127.0.0.1:'));
    const run = (statement: string) => client.execute(statement, [], host === undefined ? {} : { host });
    await run(
      `CREATE KEYSPACE ${keyspace} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 2}`,
    );
    await run(`CREATE TABLE ${keyspace}.holdfast_restore (item text PRIMARY KEY, value text)`);
    await run(`CREATE TABLE ${keyspace}.t (p int PRIMARY KEY, v text)`);
    await run(`INSERT INTO ${keyspace}.holdfast_restore (item, value) VALUES ('restore', 'r1')`);
  } finally {
    await client.shutdown();
  }
}

inRing(
  'a journal, a table and what a server tells of its cells are there, whichever node is asked',
  async () => {
    ring = await startCassandra({ nodes: 2, heap: '384M' });
    await missedBySecondNode(ring, 'missed');
    // Both replicas, since the one that was away has the row only later; whether the table exists is asked before that.
    const needs = { consistencyLevel: 'QUORUM', load: { inFlightPerNode: 4, pageRows: 10 } } as const;
    const session = await connect(
      { signal: new AbortController().signal, log: () => undefined },
      // The driver hears from the node that is cut off itself, so that it doesn't take it for dead.
      { ...ring, contactPoints: ring.contactPoints.slice(1) },
      needs,
    );
    const { signal } = new AbortController();
    // Long enough to be asked while it is still cut off.
    const cluster = ring;
    const back = sleep(8_000).then(() => cluster.nodetool(1, 'enablegossip'));
    const told: unknown[] = [];
    let refused = 0;
    try {
      while (told.length < LOOKS_TOLD) {
        try {
          told.push(await new Journal(session, 'missed', signal).get('restore'));
          told.push((await new Journal(session, 'missed', signal).find())?.get('restore'));
          const table = await readTable(session, 'missed', 't', signal);
          if (table !== undefined)
            told.push(
              (await planReading(session, 'missed', table, 'always', signal)).losses.length === 0
                ? 'r1'
                : 'lost',
            );
        } catch (error) {
          // Too few replicas for a moment, or no agreement yet.
          if (!(error instanceof HoldfastError) || !error.transient) throw error;
          refused += 1;
          await sleep(1_000);
        }
      }
    } finally {
      await back;
      await session.close();
    }
    expect(refused).toBeGreaterThan(0);
    expect(new Set(told)).toEqual(new Set(['r1']));
  },
  600_000,
);
