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
import { EXTERNAL_YCQL } from './ycql/server.ts';

const COMPOSE_SERVER = 'postgresql://yugabyte@127.0.0.1:5433/yugabyte';
/** Host, port and data centre; `HOLDFAST_TEST_YCQL=none` leaves YCQL out. */
const COMPOSE_YCQL = '127.0.0.1:9042/datacenter1';

const url = process.env[EXTERNAL_SERVER] || COMPOSE_SERVER;
try {
  const version = await versionOf(url);
  process.stdout.write(`The server is ${version}\n`);
  if ((await productOf(url)) !== 'yugabytedb') {
    process.stdout.write('It is not YugabyteDB: what these tests then show is true of PostgreSQL only.\n');
  }
  process.exitCode = await runAcceptanceTests();
} catch (error) {
  process.stderr.write(
    `No server answers as ${EXTERNAL_SERVER} says (left out: on 127.0.0.1:5433): ${messageOf(error)}\n` +
      'Start one with `docker compose -f deploy/compose.yaml up --wait yugabytedb`.\n',
  );
  process.exitCode = 1;
}

async function runAcceptanceTests(): Promise<number> {
  const jest = path.join(import.meta.dirname, '../node_modules/jest/bin/jest.js');
  const firstLook = process.env.HOLDFAST_TEST_YB_MASTERS ? ['test/universe/real'] : [];
  const ycql = process.env[EXTERNAL_YCQL] || COMPOSE_YCQL;
  const ycqlTests = ycql === 'none' ? [] : ['test/ycql/yugabytedb'];
  const child = spawn(
    process.execPath,
    [jest, '--runInBand', 'test/ysql', ...ycqlTests, ...firstLook, ...process.argv.slice(2)],
    {
      stdio: 'inherit',
      env: { ...process.env, [EXTERNAL_SERVER]: url, ...(ycql === 'none' ? {} : { [EXTERNAL_YCQL]: ycql }) },
    },
  );
  const [code] = await once(child, 'close');
  return code ?? 1;
}
