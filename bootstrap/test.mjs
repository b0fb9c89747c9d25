/**
 * `npm test`, also from a bare clone: installs what is missing, builds the servers that the tests drive, then runs the
 * linter, the type checker and Jest, and ends with a line `N passed, N failed`. Arguments go to Jest.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BIN, ensureInstalled, PINNED_NODE, ROOT, SetupError } from './install.mjs';

/** @typedef {{ readonly passed: number, readonly failed: number }} Outcome */

/** @returns {Promise<Outcome>} */
async function main() {
  await ensureInstalled();
  passInterruptionsOn();
  heading('Servers that the tests drive');
  if (!(await runNode('parts/prepare.ts'))) {
    throw new SetupError('the servers that the tests drive are missing; see above');
  }
  const lint = await check('Lint', 'node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings');
  const types = await check('Types', 'node_modules/typescript/bin/tsc');
  const tests = await jest(process.argv.slice(2));
  return sum([lint, types, tests]);
}

/**
 * @param {string} name
 * @param {string} script
 * @param {string[]} args
 * @returns {Promise<Outcome>}
 */
async function check(name, script, ...args) {
  heading(name);
  return (await runNode(script, ...args)) ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

/**
 * @param {readonly string[]} args
 * @returns {Promise<Outcome>}
 */
async function jest(args) {
  heading('Tests');
  const scratch = await mkdtemp(path.join(tmpdir(), 'holdfast-jest-'));
  try {
    const report = path.join(scratch, 'report.json');
    const succeeded = await runNode(
      'node_modules/jest/bin/jest.js',
      '--json',
      `--outputFile=${report}`,
      ...args,
    );
    const outcome = outcomeOf(await readFile(report, 'utf8'));
    // Jest can fail for a reason that is no test's, such as a coverage threshold.
    return !succeeded && outcome.failed === 0 ? { ...outcome, failed: 1 } : outcome;
  } catch (error) {
    process.stderr.write(`Jest gave no report: ${error instanceof Error ? error.message : error}\n`);
    return { passed: 0, failed: 1 };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/**
 * A test file that can't even be loaded counts as one failed test.
 *
 * @param {string} report
 * @returns {Outcome}
 */
function outcomeOf(report) {
  const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites, numPendingTests } = JSON.parse(report);
  if (numPendingTests > 0) process.stdout.write(`\n${numPendingTests} tests skipped\n`);
  return { passed: numPassedTests, failed: numFailedTests + numRuntimeErrorTestSuites };
}

/** @param {readonly Outcome[]} outcomes */
function sum(outcomes) {
  return outcomes.reduce((total, outcome) => ({
    passed: total.passed + outcome.passed,
    failed: total.failed + outcome.failed,
  }));
}

/** @type {number | undefined} */
let runningGroup;
/** @type {NodeJS.Signals | undefined} */
let interruptedBy;

/**
 * An interruption is handed on to the whole process group of what runs, since Jest's workers outlive a Jest that is killed
 * alone; its end then ends this process.
 */
function passInterruptionsOn() {
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => {
      interruptedBy = signal;
      if (runningGroup !== undefined) process.kill(-runningGroup, signal);
    });
  }
}

/**
 * Runs a script on the pinned Node, with the terminal's output and without its input.
 *
 * @param {string} script
 * @param {string[]} args
 * @returns {Promise<boolean>} whether it ended with code 0
 */
function runNode(script, ...args) {
  return new Promise((resolve, reject) => {
    if (interruptedBy !== undefined) throw new SetupError(`interrupted by ${interruptedBy}`);
    const child = spawn(PINNED_NODE, [path.join(ROOT, script), ...args], {
      cwd: ROOT,
      env: { ...process.env, PATH: `${BIN}${path.delimiter}${process.env.PATH}` },
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
    });
    runningGroup = child.pid;
    child.once('error', reject);
    child.once('exit', () => {
      runningGroup = undefined;
    });
    child.once('close', (code, signal) => {
      if (signal === null) resolve(code === 0);
      else reject(new SetupError(`${script} was ended by ${signal}`));
    });
  });
}

/** @param {string} title */
function heading(title) {
  process.stdout.write(`\n== ${title}\n`);
}

try {
  const { passed, failed } = await main();
  process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
  process.exitCode = failed === 0 ? 0 : 1;
} catch (error) {
  process.stderr.write(`npm test: ${error instanceof SetupError ? error.message : error}\n`);
  process.stdout.write('\n0 passed, 1 failed\n');
  process.exitCode = 1;
}
