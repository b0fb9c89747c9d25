import { type Client, type ClientOptions, policies } from 'cassandra-driver';
import { defined } from '../../model/defined.ts';
import { permanent } from '../../model/errors.ts';
import type { YcqlSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';
import { cqlError, isInvalid } from './errors.ts';
import { LoadLimit, limitMemory } from './load-limit.ts';
import { Nodes, type Server } from './nodes.ts';
import { connectRawClient } from './raw-pages.ts';
import { CqlSession } from './session.ts';
import type { CqlTarget } from './target.ts';

const CONNECT_TIMEOUT_MS = 10_000;
/** Longer than any of the server's own timeouts, so that the server itself says what was wrong. */
const READ_TIMEOUT_MS = 35_000;
/** The most requests that one connection carries at once. */
const REQUESTS_PER_CONNECTION = 1_024;

/** The settings of the source that a session uses. */
export type SessionNeeds = Pick<YcqlSource, 'consistencyLevel' | 'load'>;

/**
 * Connects; the caller closes the session. `memory` is that of a limit that other threads share. Throws as `cqlError`, and
 * `YCQL_NO_SUCH_DATA_CENTER`, `YCQL_PARTITIONER` (permanent).
 */
export async function connect(
  verb: Pick<VerbContext, 'signal' | 'log'>,
  target: CqlTarget,
  source: SessionNeeds,
  memory = limitMemory(),
): Promise<CqlSession> {
  const doing = `connect to ${target.contactPoints.join(', ')} port ${target.port}`;
  try {
    verb.signal.throwIfAborted();
    const localDataCenter = target.localDataCenter ?? (await findDataCenter(verb, target));
    const client = await connectRawClient({ ...clientOptions(target), localDataCenter }, (message) =>
      verb.log(message, {}),
    );
    try {
      const server = await readServer(client);
      if (server.product === 'cassandra') await client.metadata.refreshKeyspaces();
      const nodes = new Nodes(client, server, localDataCenter, new LoadLimit(source.load, memory));
      return new CqlSession(client, source.consistencyLevel, nodes);
    } catch (error) {
      await client.shutdown();
      throw error;
    }
  } catch (error) {
    await checkDataCenter(verb, target);
    throw cqlError(error, doing, 'names', verb.signal);
  }
}

/**
 * Explains a failed connection: throws `YCQL_NO_SUCH_DATA_CENTER` (permanent) if the nodes answer, but from another data centre than the plan
 * names.
 */
async function checkDataCenter(verb: Pick<VerbContext, 'log'>, target: CqlTarget): Promise<void> {
  if (target.localDataCenter === undefined) return;
  let found: string;
  try {
    found = await findDataCenter(verb, target);
  } catch {
    return; // the nodes aren't there: what the connection failed with says why
  }
  if (found === target.localDataCenter) return;
  throw permanent(
    'YCQL_NO_SUCH_DATA_CENTER',
    `The data centre ${target.localDataCenter} was not found: ${target.contactPoints.join(', ')} is in ${found}`,
    'Correct `localDataCenter` in the plan, or leave it out.',
  );
}

function clientOptions(target: CqlTarget): ClientOptions {
  return {
    contactPoints: target.contactPoints.map((host) =>
      host.includes(':') ? `[${host}]:${target.port}` : `${host}:${target.port}`,
    ),
    protocolOptions: { port: target.port, maxVersion: 4 },
    // The driver's own schema metadata can't contain YCQL's JSONB columns, and Holdfast reads the schema itself.
    isMetadataSyncEnabled: false,
    policies: {
      retry: new policies.retry.FallthroughRetryPolicy(),
    },
    pooling: { maxRequestsPerConnection: REQUESTS_PER_CONNECTION, warmup: false },
    socketOptions: { connectTimeout: CONNECT_TIMEOUT_MS, readTimeout: READ_TIMEOUT_MS },
    maxPrepared: 10_000,
    ...defined({ credentials: target.login, sslOptions: target.tls }),
  };
}

/** The data centre of the first contact point that answers. */
async function findDataCenter(verb: Pick<VerbContext, 'log'>, target: CqlTarget): Promise<string> {
  const options = clientOptions(target);
  const client = await connectRawClient(
    {
      ...options,
      policies: { ...options.policies, loadBalancing: new policies.loadBalancing.RoundRobinPolicy() },
    },
    (message) => verb.log(message, {}),
  );
  try {
    const [row] = (await client.execute('SELECT data_center FROM system.local')).rows;
    return String(row?.data_center);
  } finally {
    await client.shutdown();
  }
}

/** Tells the products apart: only YugabyteDB has a table of its tablets. */
async function readServer(client: Client): Promise<Server> {
  const [local] = (await client.execute('SELECT release_version, partitioner FROM system.local')).rows;
  const version = String(local?.release_version);
  try {
    await client.execute('SELECT table_name FROM system.partitions LIMIT 1');
    return { product: 'yugabytedb', version };
  } catch (error) {
    if (!isInvalid(error)) throw error;
  }
  if (!String(local?.partitioner).endsWith('.Murmur3Partitioner')) {
    throw permanent(
      'YCQL_PARTITIONER',
      `The cluster's partitioner is ${String(local?.partitioner)}; chunks are cut by ranges of Murmur3 tokens`,
      'Holdfast backs up YCQL, and Cassandra with Murmur3Partitioner.',
    );
  }
  return { product: 'cassandra', version };
}
