/** Makes sure that every server which the tests, the benchmarks and the demo drive is on this machine, and says what it does. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { HoldfastError, permanent } from '../model/errors.ts';
import {
  type CassandraPrograms,
  cassandraPrograms,
  JAVA_MISSING,
  MAVEN_MISSING,
} from './cassandra-programs.ts';
import { findOnPath } from './path.ts';
import { findPostgresPrograms, POSTGRES_MISSING } from './postgres.ts';
import { ALL_TOOLS, executableOf } from './tools.ts';

try {
  say(`PostgreSQL: ${await preparePostgres()}`);
  say(`Cassandra: ${(await prepareCassandra()).classPath}`);
  for (const tool of ALL_TOOLS) say(`${tool.name} ${tool.version}: ${await executableOf(tool, say)}`);
} catch (error) {
  if (!(error instanceof HoldfastError)) throw error;
  process.stderr.write(`${error.message}\n${error.remedy}\n`);
  process.exitCode = 1;
}

function preparePostgres(): Promise<string> {
  return orInstall(findPostgresPrograms, [POSTGRES_MISSING], ['postgresql']);
}

function prepareCassandra(): Promise<CassandraPrograms> {
  const packages = ['default-jre-headless', 'maven'];
  return orInstall(() => cassandraPrograms(say), [JAVA_MISSING, MAVEN_MISSING], packages);
}

/** Debian's packages need root, whom a CI container runs as; anyone else is told what to install. */
async function orInstall<T>(
  find: () => Promise<T>,
  missingCodes: readonly string[],
  packages: readonly string[],
): Promise<T> {
  try {
    return await find();
  } catch (error) {
    const missing = error instanceof HoldfastError && missingCodes.includes(error.code);
    if (!missing || process.getuid?.() !== 0 || (await findOnPath('apt-get')) === undefined) throw error;
    say(`${error.message}: installing Debian's ${packages.join(' and ')}`);
  }
  await aptGet('update');
  await aptGet('install', '--yes', '--no-install-recommends', ...packages);
  return await find();
}

async function aptGet(...args: readonly string[]): Promise<void> {
  const child = spawn('apt-get', args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  const [code] = await once(child, 'close');
  if (code === 0) return;
  throw permanent(
    'APT_GET',
    `apt-get ${args.join(' ')} ended with code ${code}`,
    'Install what it was to install in another way, and run this again.',
  );
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
