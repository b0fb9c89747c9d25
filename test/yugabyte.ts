/**
 * `npm run test:yugabyte`: the acceptance tests of the YSQL and YCQL engines against a real YugabyteDB, by default the one that
 * `deploy/compose.yaml` starts; and where `HOLDFAST_TEST_YB_MASTERS` names its masters, a first look at its snapshots
 * (docs/yugabytedb.md). Arguments go to Jest.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { messageOf } from '../model/errors.ts';
import { EXTERNAL_SERVER, productOf, versionOf } from './support/servers.ts';
import { openSession } from './ycql/compare.ts';
import { clusterOf, EXTERNAL_YCQL } from './ycql/server.ts';

/** `none` in place of either leaves it out. */
const ysql = process.env[EXTERNAL_SERVER] || 'postgresql://yugabyte@127.0.0.1:5433/yugabyte';
/** Host, port and data centre. */
const ycql = process.env[EXTERNAL_YCQL] || '127.0.0.1:9042/datacenter1';

try {
  const tests = [
    ...(ysql === 'none' ? [] : [await withServer(EXTERNAL_SERVER, '127.0.0.1:5433', ysqlTests)]),
    ...(ycql === 'none' ? [] : [await withServer(EXTERNAL_YCQL, '127.0.0.1:9042', ycqlTests)]),
    ...(process.env.HOLDFAST_TEST_YB_MASTERS ? ['test/universe/real'] : []),
  ];
  process.exitCode = await runAcceptanceTests(tests);
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
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

async function runAcceptanceTests(tests: readonly string[]): Promise<number> {
  const jest = path.join(import.meta.dirname, '../node_modules/jest/bin/jest.js');
  const child = spawn(process.execPath, [jest, '--runInBand', ...tests, ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: {
      ...process.env,
      ...(ysql === 'none' ? {} : { [EXTERNAL_SERVER]: ysql }),
      ...(ycql === 'none' ? {} : { [EXTERNAL_YCQL]: ycql }),
    },
  });
  const [code] = await once(child, 'close');
  return code ?? 1;
}
