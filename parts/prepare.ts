/** Makes sure that every server which the tests, the benchmarks and the demo drive is on this machine, and says what it does. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { HoldfastError, permanent } from '../model/errors.ts';
import { findOnPath } from './path.ts';
import { findPostgresPrograms, POSTGRES_MISSING } from './postgres.ts';
import { ALL_TOOLS, executableOf } from './tools.ts';

try {
  say(`PostgreSQL: ${await preparePostgres()}`);
  for (const tool of ALL_TOOLS) say(`${tool.name} ${tool.version}: ${await executableOf(tool, say)}`);
} catch (error) {
  if (!(error instanceof HoldfastError)) throw error;
  process.stderr.write(`${error.message}\n${error.remedy}\n`);
  process.exitCode = 1;
}

/** Debian's package needs root, whom a CI container runs as; anyone else is told what to install. */
async function preparePostgres(): Promise<string> {
  try {
    return await findPostgresPrograms();
  } catch (error) {
    const missing = error instanceof HoldfastError && error.code === POSTGRES_MISSING;
    if (!missing || process.getuid?.() !== 0 || (await findOnPath('apt-get')) === undefined) throw error;
  }
  say("PostgreSQL is missing: installing Debian's package postgresql");
  await aptGet('update');
  await aptGet('install', '--yes', '--no-install-recommends', 'postgresql');
  return await findPostgresPrograms();
}

async function aptGet(...args: readonly string[]): Promise<void> {
  const child = spawn('apt-get', args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  const [code] = await once(child, 'close');
  if (code === 0) return;
  throw permanent(
    POSTGRES_MISSING,
    `apt-get ${args.join(' ')} ended with code ${code}`,
    'Install a PostgreSQL server, version 15 or newer, and run this again.',
  );
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
