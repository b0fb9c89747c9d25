import { messageOf } from '../../model/errors.ts';
import { EXTERNAL_SERVER, productOf, versionOf } from '../support/servers.ts';
import { openSession } from '../ycql/compare.ts';
import { clusterOf, EXTERNAL_YCQL } from '../ycql/server.ts';
import { runSuite, type SuiteOutcome } from './acceptance.ts';

/** Names the masters of a universe that is there already. */
export const EXTERNAL_MASTERS = 'HOLDFAST_TEST_YB_MASTERS';

/** True where the operator named servers of his own, which are then tested in place of containers. */
export function isExternal(): boolean {
  return [EXTERNAL_SERVER, EXTERNAL_YCQL, EXTERNAL_MASTERS].some((name) => (process.env[name] ?? '') !== '');
}

/** `none` in place of either leaves it out. */
const ysql = process.env[EXTERNAL_SERVER] || 'postgresql://yugabyte@127.0.0.1:5433/yugabyte';
/** Host, port and data centre. */
const ycql = process.env[EXTERNAL_YCQL] || '127.0.0.1:9042/datacenter1';

/**
 * The acceptance tests of the engines `ysql` and `ycql` against servers that are there already, and where `HOLDFAST_TEST_YB_MASTERS` names masters, a
 * first look at the universe (docs/yugabytedb.md).
 *
 * @throws Error where a server doesn't answer
 */
export async function runOnExternal(args: readonly string[]): Promise<readonly SuiteOutcome[]> {
  const suites = [
    ...(ysql === 'none' ? [] : [await withServer(EXTERNAL_SERVER, '127.0.0.1:5433', ysqlTests)]),
    ...(ycql === 'none' ? [] : [await withServer(EXTERNAL_YCQL, '127.0.0.1:9042', ycqlTests)]),
    ...(process.env[EXTERNAL_MASTERS] ? ['test/universe/real'] : []),
  ];
  const environment = {
    ...(ysql === 'none' ? {} : { [EXTERNAL_SERVER]: ysql }),
    ...(ycql === 'none' ? {} : { [EXTERNAL_YCQL]: ycql }),
  };
  const outcomes: SuiteOutcome[] = [];
  for (const suite of suites) outcomes.push(await runSuite(suite, environment, args));
  return outcomes;
}

async function withServer(variable: string, usual: string, find: () => Promise<string>): Promise<string> {
  try {
    return await find();
  } catch (error) {
    throw new Error(
      `Nothing to test is where ${variable} says (left out: on ${usual}; "none": no such tests): ${messageOf(error)}\n` +
        'Start one with `docker compose -f deploy/compose.yaml up --wait yugabytedb`.',
    );
  }
}

async function ysqlTests(): Promise<string> {
  process.stdout.write(`The YSQL server is ${await versionOf(ysql)}\n`);
  if ((await productOf(ysql)) !== 'yugabytedb') {
    process.stdout.write('It is not YugabyteDB: what these tests then show is true of PostgreSQL only.\n');
  }
  return 'test/ysql';
}

async function ycqlTests(): Promise<string> {
  const session = await openSession(clusterOf(ycql));
  const { product, version } = session.server;
  await session.close();
  process.stdout.write(`The YCQL server is ${product} ${version}\n`);
  if (product !== 'yugabytedb') {
    throw new Error('it is a Cassandra, which has no JSONB, tablets or transactions to be tested');
  }
  return 'test/ycql/yugabytedb';
}
