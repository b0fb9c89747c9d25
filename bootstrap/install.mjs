/**
 * Installs the locked dependencies into this checkout, unless they are there. Runs on any Node >= 18 and on npm alone;
 * the Node that everything else runs on is among what it installs (the dev dependency `node`).
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, copyFileSync, readFileSync, renameSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { withLock } from './lock.mjs';

const OLDEST_NODE = 18;
const NETWORK_FAILURES = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED)\b/;

export const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
export const BIN = path.join(ROOT, 'node_modules', '.bin');
/** The pinned Node, once `ensureInstalled` is through. */
export const PINNED_NODE = path.join(BIN, 'node');

export const LOCKFILE = path.join(ROOT, 'package-lock.json');
/** A copy of the lock file that was installed last; the wrapper `holdfast` compares the two. */
const STAMP = path.join(ROOT, 'node_modules', '.holdfast-installed');
/** Where a checkout has its bundled dependencies; `cli/bundled-dependencies.ts` looks for them there. */
const BUNDLES = path.join(ROOT, 'node_modules', '.holdfast-dependencies');

/** A failure that the user can mend; its message is all there is to say. */
export class SetupError extends Error {}

/**
 * Installs what the lock file names if anything is missing or of another version, and the pinned Node even where npm
 * blocks install scripts. Runs at the same time wait for each other.
 *
 * @throws {SetupError}
 */
export async function ensureInstalled() {
  if (Number.parseInt(process.versions.node, 10) < OLDEST_NODE) {
    throw new SetupError(
      `Node ${OLDEST_NODE} or newer is needed to set this checkout up, and this is ${process.version}. Install a newer one (https://nodejs.org).`,
    );
  }
  if (isStamped()) return;
  await withLock(
    path.join(ROOT, '.holdfast-install.lock'),
    { onWait: (pid) => say(`process ${pid} is installing the dependencies; waiting for it`) },
    async () => {
      if (isStamped()) return;
      if (!holdsLockedVersions()) installDependencies();
      if (!isThere(PINNED_NODE, constants.X_OK)) installPinnedNode();
      bundleDependencies();
      copyFileSync(LOCKFILE, `${STAMP}.new`);
      renameSync(`${STAMP}.new`, STAMP);
    },
  );
}

function isStamped() {
  return (
    isThere(PINNED_NODE, constants.X_OK) &&
    isThere(STAMP) &&
    readFileSync(LOCKFILE).equals(readFileSync(STAMP))
  );
}

/**
 * Whether node_modules already is what the lock file says, because somebody ran npm by hand: by npm's own record of what
 * it installed. Optional packages are left out, since npm skips those of other platforms.
 */
function holdsLockedVersions() {
  const record = path.join(ROOT, 'node_modules', '.package-lock.json');
  if (!isThere(record)) return false;
  const installed = JSON.parse(readFileSync(record, 'utf8')).packages;
  return Object.entries(JSON.parse(readFileSync(LOCKFILE, 'utf8')).packages).every(
    ([name, entry]) => name === '' || entry.optional || installed[name]?.version === entry.version,
  );
}

function installDependencies() {
  say(
    'installing the locked dependencies (npm ci), once; this takes a minute, and several on a busy machine',
  );
  // Production mode would leave out the dev dependencies, and with them the pinned Node.
  const npm = ['npm', 'ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  run(npm, ROOT, 'the locked dependencies');
}

/** Does what the package's own install script does, for an npm that blocks install scripts. */
function installPinnedNode() {
  say('installing the pinned Node');
  const script = [process.execPath, 'installArchSpecificPackage.js'];
  run(script, path.join(ROOT, 'node_modules', 'node'), 'the pinned Node');
  if (isThere(PINNED_NODE, constants.X_OK)) return;
  throw new SetupError(
    `the pinned Node could not be installed for ${process.platform}-${process.arch}: ${PINNED_NODE} is missing. Check that there is a Node build for this platform.`,
  );
}

/** Bundles speed commands up and nothing more, so the installation goes on without them. */
function bundleDependencies() {
  const { status, error, stderr } = spawnSync(
    PINNED_NODE,
    [path.join(ROOT, 'bootstrap', 'bundle-dependencies.mjs'), BUNDLES],
    { cwd: ROOT, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  if (status === 0) return;
  say(
    `the dependencies could not be bundled, so that each command takes about a tenth of a second longer: ${error?.message ?? stderr}`,
  );
}

/**
 * Runs an installer. All its output goes to stderr, since stdout belongs to the command that the user gave.
 *
 * @param {string[]} command
 * @param {string} folder
 * @param {string} what what is being installed, for messages
 */
function run([program = '', ...args], folder, what) {
  const { status, signal, error, stderr } = spawnSync(program, args, {
    cwd: folder,
    stdio: ['ignore', process.stderr.fd, 'pipe'],
    env: { ...process.env, npm_config_ignore_scripts: 'false' },
    maxBuffer: Number.POSITIVE_INFINITY,
  });
  process.stderr.write(stderr ?? '');
  if (status === 0) return;
  if (error !== undefined && 'code' in error && error.code === 'ENOENT') {
    throw new SetupError(
      `npm is needed to install ${what}, and there is no \`npm\` on PATH. Install the one that comes with Node (https://nodejs.org), or Debian's package npm.`,
    );
  }
  if (NETWORK_FAILURES.test(String(stderr))) {
    throw new SetupError(
      `${what} could not be installed: npm could not reach its registry. Connect to the network, or tell npm of your proxy or mirror (\`npm config set proxy …\`, \`npm config set registry …\`), and run this again.`,
    );
  }
  throw new SetupError(
    `${what} could not be installed: ${error?.message ?? `${program} ended with ${signal ?? `code ${status}`}`}. npm's own message is above.`,
  );
}

/**
 * @param {string} file
 * @param {number} access what must be allowed; an absent file and one that isn't ours to use are both mended by installing
 */
function isThere(file, access = constants.R_OK) {
  try {
    accessSync(file, access);
    return true;
  } catch {
    return false;
  }
}

/** @param {string} line */
function say(line) {
  process.stderr.write(`holdfast: ${line}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await ensureInstalled();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(error.message);
    process.exitCode = 1;
  }
}
