/** Installs every server that the tests, the benchmarks and the demo need, if it is missing. Prints what it does. */
import { HoldfastError } from '../model/errors.ts';
import { azurite } from './azure.ts';
import {
  type CassandraPrograms,
  cassandraPrograms,
  JAVA_MISSING,
  MAVEN_MISSING,
} from './cassandra-programs.ts';
import { ensureChromium } from './chromium.ts';
import { orInstall } from './debian.ts';
import { findPostgresPrograms, POSTGRES_MISSING } from './postgres.ts';
import {
  FETCHED_POSTGRES_RUNS_HERE,
  findPostgresClients,
  findPostgresVersion,
  PIP_MISSING,
  UNPACKER_MISSING,
} from './postgres-versions.ts';
import { ensurePrometheus } from './prometheus.ts';
import { ALL_TOOLS, executableOf } from './tools.ts';

try {
  say(`PostgreSQL: ${await preparePostgres()}`);
  say(`Cassandra: ${(await prepareCassandra()).classPath}`);
  for (const version of [11, 16, 17, 18] as const)
    say(`PostgreSQL ${version}: ${await prepareFetched(() => findPostgresVersion(version, say))}`);
  say(`PostgreSQL's client programs: ${await prepareFetched(() => findPostgresClients(say))}`);
  say(`Chromium: ${await ensureChromium(say)}`);
  say(`Prometheus: ${await ensurePrometheus(say)}`);
  say(`Azurite: ${await azurite(say)}`);
  for (const tool of ALL_TOOLS) say(`${tool.name} ${tool.version}: ${await executableOf(tool, say)}`);
} catch (error) {
  if (!(error instanceof HoldfastError)) throw error;
  process.stderr.write(`${error.message}\n${error.remedy}\n`);
  process.exitCode = 1;
}

function preparePostgres(): Promise<string> {
  return orInstall(findPostgresPrograms, [POSTGRES_MISSING], ['postgresql'], say);
}

/** If there is no build for this machine, the tests of that version are skipped. */
async function prepareFetched(find: () => Promise<string>): Promise<string> {
  if (!FETCHED_POSTGRES_RUNS_HERE) return 'none for this platform';
  return await orInstall(find, [UNPACKER_MISSING, PIP_MISSING], ['xz-utils', 'python3-pip'], say);
}

function prepareCassandra(): Promise<CassandraPrograms> {
  const packages = ['default-jre-headless', 'maven'];
  return orInstall(() => cassandraPrograms(say), [JAVA_MISSING, MAVEN_MISSING], packages, say);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
