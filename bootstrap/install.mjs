/**
 * Installs the locked dependencies into this checkout, unless they are there. Runs on any Node >= 18 and on npm alone;
 * the Node that everything else runs on is among what it installs (the dev dependency `node`).
 */
import { spawn } from 'node:child_process';
import { access, constants, copyFile, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { withLock } from './lock.mjs';

const OLDEST_NODE = 18;
const PROGRESS_INTERVAL_MS = 10_000;
const NETWORK_FAILURES = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED)\b/;

export const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
export const BIN = path.join(ROOT, 'node_modules', '.bin');
/** The pinned Node, once `ensureInstalled` is through. */
export const PINNED_NODE = path.join(BIN, 'node');

export const LOCKFILE = path.join(ROOT, 'package-lock.json');
/** A copy of the lock file that was installed last; the wrapper `holdfast` compares the two. */
const STAMP = path.join(ROOT, 'node_modules', '.holdfast-installed');

/** A failure that the user can mend; its message is all there is to say. */
export class SetupError extends Error {}

/**
 * Installs what the lock file names if anything is missing or of another version, and the pinned Node even where npm
 * blocks install scripts. Runs at the same time wait for each other.
 *
 * @throws {SetupError}
 */
export async function ensureInstalled() {
  requireNode();
  if (await isStamped()) return;
  await withLock(
    path.join(ROOT, '.holdfast-install.lock'),
    { onWait: (pid) => say(`process ${pid} is installing the dependencies; waiting for it`) },
    async () => {
      if (await isStamped()) return;
      if (!(await holdsLockedVersions())) await installDependencies();
      if (!(await isExecutable(PINNED_NODE))) await installPinnedNode();
      const unfinished = `${STAMP}.${process.pid}`;
      await copyFile(LOCKFILE, unfinished);
      await rename(unfinished, STAMP);
    },
  );
}

function requireNode() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major >= OLDEST_NODE) return;
  throw new SetupError(
    `Node ${OLDEST_NODE} or newer is needed to set this checkout up, and this is ${process.version}. Install a newer one (https://nodejs.org).`,
  );
}

async function isStamped() {
  if (!(await isExecutable(PINNED_NODE))) return false;
  const [wanted, installed] = await Promise.all([readFile(LOCKFILE), readIfThere(STAMP)]);
  return installed !== undefined && wanted.equals(installed);
}

/**
 * Whether node_modules already is what the lock file says, because somebody ran npm by hand: by npm's own record of what
 * it installed. Optional packages are left out, since npm skips those of other platforms.
 */
async function holdsLockedVersions() {
  const record = await readIfThere(path.join(ROOT, 'node_modules', '.package-lock.json'));
  if (record === undefined) return false;
  const installed = JSON.parse(record.toString()).packages;
  const locked = Object.entries(JSON.parse(await readFile(LOCKFILE, 'utf8')).packages);
  return locked.every(
    ([name, entry]) => name === '' || entry.optional || installed[name]?.version === entry.version,
  );
}

async function installDependencies() {
  say('installing the locked dependencies (npm ci), once; this takes about a minute');
  // Production mode would leave out the dev dependencies, and with them the pinned Node.
  await runNpm(['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'], ROOT);
}

/** What the package's own install script does; an npm that blocks install scripts leaves it out. */
async function installPinnedNode() {
  say('installing the pinned Node');
  await run(
    process.execPath,
    ['installArchSpecificPackage.js'],
    path.join(ROOT, 'node_modules', 'node'),
    'the pinned Node',
  );
  if (await isExecutable(PINNED_NODE)) return;
  throw new SetupError(
    `the pinned Node could not be installed for ${process.platform}-${process.arch}: ${PINNED_NODE} is missing. Check that there is a Node build for this platform.`,
  );
}

/**
 * @param {readonly string[]} args
 * @param {string} folder
 */
async function runNpm(args, folder) {
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  await run(npm, args, folder, 'the locked dependencies');
}

/**
 * Runs an installer with its output on stderr, since stdout belongs to the command that the user gave.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @param {string} folder
 * @param {string} what what is being installed, for messages
 */
async function run(program, args, folder, what) {
  const child = spawn(program, args, {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, npm_config_ignore_scripts: 'false' },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (/** @type {Buffer} */ bytes) => {
      output += bytes;
      process.stderr.write(bytes);
    });
  }
  const startedAt = Date.now();
  const progress = setInterval(
    () => say(`still at it (${Math.round((Date.now() - startedAt) / 1000)} s)`),
    PROGRESS_INTERVAL_MS,
  );
  try {
    const failure = await new Promise((resolve) => {
      child.once('error', resolve);
      child.once('close', (code, signal) =>
        resolve(code === 0 ? undefined : `${program} ended with ${signal ?? `code ${code}`}`),
      );
    });
    if (failure !== undefined) throw installFailure(failure, output, what);
  } finally {
    clearInterval(progress);
  }
}

/**
 * @param {unknown} failure
 * @param {string} output
 * @param {string} what
 */
function installFailure(failure, output, what) {
  if (failure instanceof Error && 'code' in failure && failure.code === 'ENOENT') {
    return new SetupError(
      `npm is needed to install ${what}, and there is no \`npm\` on PATH. Install the one that comes with Node (https://nodejs.org), or Debian's package npm.`,
    );
  }
  if (NETWORK_FAILURES.test(output)) {
    return new SetupError(
      `${what} could not be installed: npm could not reach its registry. Connect to the network, or tell npm of your proxy or mirror (\`npm config set proxy …\`, \`npm config set registry …\`), and run this again.`,
    );
  }
  return new SetupError(
    `${what} could not be installed: ${failure instanceof Error ? failure.message : failure}. npm's own message is above.`,
  );
}

/** @param {string} file */
async function isExecutable(file) {
  try {
    await access(file, constants.X_OK);
    return true;
  } catch {
    return false; // absent, or not ours to run: both are mended by installing
  }
}

/** @param {string} file */
async function readIfThere(file) {
  try {
    return await readFile(file);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
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
