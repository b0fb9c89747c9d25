import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { HoldfastError, permanent } from '../model/errors.ts';
import { FOR_DOWNLOADS, programEnvironment } from '../model/program-environment.ts';
import { findOnPath } from './path.ts';

/** Receives lines about an installation, without line ends. */
export type Report = (line: string) => void;

/**
 * Returns the result of `find`. If `find` fails with one of `missingCodes`, this installs Debian's packages and calls it again.
 * That needs root, which a CI container has; any other user gets the error, which says what to install.
 */
export async function orInstall<T>(
  find: () => Promise<T>,
  missingCodes: readonly string[],
  packages: readonly string[],
  report: Report = () => undefined,
): Promise<T> {
  try {
    return await find();
  } catch (error) {
    const missing = error instanceof HoldfastError && missingCodes.includes(error.code);
    if (!missing || process.getuid?.() !== 0 || (await findOnPath('apt-get')) === undefined) throw error;
    report(`${error.message}: installing Debian's ${packages.join(' and ')}`);
  }
  // A fresh container has no lists of packages.
  await aptGet('update');
  await aptGet('install', '--yes', '--no-install-recommends', ...packages);
  return await find();
}

/** Several test processes may install at once; the later ones wait for dpkg's lock. */
const LOCK_TIMEOUT_S = 600;

async function aptGet(...args: readonly string[]): Promise<void> {
  const child = spawn('apt-get', ['-o', `DPkg::Lock::Timeout=${LOCK_TIMEOUT_S}`, '-qq', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...programEnvironment(process.env, ['APT_*', ...FOR_DOWNLOADS]),
      DEBIAN_FRONTEND: 'noninteractive',
    },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const [code] = await once(child, 'close');
  if (code === 0) return;
  throw permanent(
    'APT_GET',
    `apt-get ${args.join(' ')} ended with code ${code}: ${output.trimEnd().split('\n').slice(-5).join('\n')}`,
    'Install what it was to install in another way, and run this again.',
  );
}
