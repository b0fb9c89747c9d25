import { startCassandra } from '../../parts/cassandra.ts';
import { startYcqlProxy } from './proxy/proxy.ts';
import { run, type TestCluster } from './zoo.ts';

/** `host:port` of a real YCQL, and its data centre behind a `/`, for the acceptance tests to use instead of the proxy. */
export const EXTERNAL_YCQL = 'HOLDFAST_TEST_YCQL';

export interface YcqlServer extends TestCluster {
  /** Where rows are written: past the proxy, which would refuse some times of writing. */
  readonly upstream: TestCluster;
  readonly external: boolean;
  /** Statements that the proxy refused; none where the server is real. */
  readonly refused: readonly string[];
  stop(): Promise<void>;
}

/** @throws Error where the text is no `host:port`, with or without a data centre behind a `/` */
export function clusterOf(text: string): TestCluster {
  const [, host, port, localDataCenter = 'datacenter1'] = /^([^:/]+):(\d+)(?:\/(.+))?$/.exec(text) ?? [];
  if (host === undefined)
    throw new Error(`${text} is not a host and port, such as 127.0.0.1:9042/datacenter1`);
  return { contactPoints: [host], port: Number(port), localDataCenter };
}

/** The server that `HOLDFAST_TEST_YCQL` names, emptied of the tests' keyspaces; else YCQL's dialect in front of a Cassandra of our own. */
export async function ycqlServer(keyspaces: readonly string[]): Promise<YcqlServer> {
  const external = process.env[EXTERNAL_YCQL];
  if (external !== undefined && external !== '') {
    const cluster = clusterOf(external);
    for (const keyspace of keyspaces) await run(cluster, `DROP KEYSPACE IF EXISTS ${keyspace}`);
    return { ...cluster, upstream: cluster, external: true, refused: [], stop: async () => undefined };
  }
  const cassandra = await startCassandra();
  const proxy = await startYcqlProxy(cassandra);
  return {
    ...proxy,
    upstream: cassandra,
    external: false,
    async stop() {
      await proxy.stop();
      await cassandra.stop();
    },
  };
}
