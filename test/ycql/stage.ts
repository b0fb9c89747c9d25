import { setTimeout as sleep } from 'node:timers/promises';
import { auth, Client } from 'cassandra-driver';
import { type CassandraCluster, type CassandraOptions, startCassandra } from '../../parts/cassandra.ts';
import { createRepository, type TestRepository } from './harness.ts';
import { plainClient, type TestCluster } from './zoo.ts';

/** What the tests of a file share: there from before the first of them to behind the last. */
export interface TestStage {
  readonly cluster: CassandraCluster;
  readonly repository: TestRepository;
  /** The superuser's, where a login is asked for. */
  readonly client: Client;
}

export const ONE_NODE = "replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";

/**
 * A Cassandra and a repository for the tests of this file, and keyspaces of these names. Nothing is kept from a `kill -9`, unless the
 * options say `durable`.
 */
export function useCassandra(options: CassandraOptions = {}, ...keyspaces: readonly string[]): TestStage {
  let cluster: CassandraCluster | undefined;
  let repository: TestRepository | undefined;
  let client: Client | undefined;
  beforeAll(async () => {
    cluster = await startCassandra({ durable: false, ...options });
    repository = await createRepository();
    client = options.authentication === true ? await signedIn(cluster) : plainClient(cluster);
    for (const name of keyspaces) await client.execute(`CREATE KEYSPACE ${name} WITH ${ONE_NODE}`);
  });
  afterAll(async () => {
    await client?.shutdown();
    await cluster?.stop();
    await repository?.remove();
  });
  const there = <T>(part: T | undefined): T => {
    if (part === undefined) throw new Error('the stage is set before the first test, and not earlier');
    return part;
  };
  return {
    get cluster() {
      return there(cluster);
    },
    get repository() {
      return there(repository);
    },
    get client() {
      return there(client);
    },
  };
}

/** A client of the superuser. Roles are made a moment after the port opens. */
async function signedIn({ contactPoints, port, localDataCenter }: TestCluster): Promise<Client> {
  for (let attempt = 0; ; attempt += 1) {
    const made = new Client({
      contactPoints: [...contactPoints],
      localDataCenter,
      protocolOptions: { port, maxVersion: 4 },
      isMetadataSyncEnabled: false,
      authProvider: new auth.PlainTextAuthProvider('cassandra', 'cassandra'),
      socketOptions: { readTimeout: 120_000 },
    });
    try {
      await made.connect();
      return made;
    } catch (error) {
      await made.shutdown();
      if (attempt > 100) throw error;
      await sleep(300);
    }
  }
}
