/**
 * `npm test`, also from a bare clone: installs what is missing, builds the servers that the tests drive, then runs the
 * linter, the type checker and Jest, and ends with a line `N passed, N failed`. Arguments go to Jest.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BIN, ensureInstalled, PINNED_NODE, ROOT, SetupError } from './install.mjs';

const JEST = 'node_modules/jest/bin/jest.js';

/** Counts what passed and what failed; the linter and the type checker are one each. */
async function main() {
  await ensureInstalled();
  if (!(await run('Servers that the tests drive', 'parts/prepare.ts'))) {
    throw new SetupError('the servers that the tests drive are missing; see above');
  }
  const checks = [
    await run('Lint', 'node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings'),
    await run('Types', 'node_modules/typescript/bin/tsc'),
  ];
  const tests = await jest(process.argv.slice(2));
  const failedChecks = checks.filter((passed) => !passed).length;
  return { passed: tests.passed + checks.length - failedChecks, failed: tests.failed + failedChecks };
}

/** @param {readonly string[]} args */
async function jest(args) {
  const scratch = mkdtempSync(path.join(tmpdir(), 'holdfast-jest-'));
  try {
    const file = path.join(scratch, 'report.json');
    const succeeded = await run('Tests', JEST, '--json', `--outputFile=${file}`, ...args);
    const report = JSON.parse(readFileSync(file, 'utf8'));
    if (report.numPendingTests > 0) process.stdout.write(`\n${report.numPendingTests} tests skipped\n`);
    // A test file that can't even be loaded counts as one failed test.
    const failed = report.numFailedTests + report.numRuntimeErrorTestSuites;
    // Jest can fail for a reason that is no test's, such as a coverage threshold.
    return { passed: report.numPassedTests, failed: failed === 0 && !succeeded ? 1 : failed };
  } catch (error) {
    process.stderr.write(`Jest gave no report: ${error instanceof Error ? error.message : error}\n`);
    return { passed: 0, failed: 1 };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** @type {number | undefined} */
let runningGroup;
/** @type {NodeJS.Signals | undefined} */
let interruptedBy;

// Jest's workers outlive a Jest that is killed alone, so an interruption is handed on to the whole group of what runs.
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.on(signal, () => {
    interruptedBy = signal;
    if (runningGroup !== undefined) process.kill(-runningGroup, signal);
  });
}

/**
 * Runs a script on the pinned Node under a heading, with the terminal's output and without its input.
 *
 * @param {string} title
 * @param {string} script
 * @param {string[]} args
 * @returns {Promise<boolean>} whether it ended with code 0
 */
function run(title, script, ...args) {
  process.stdout.write(`\n== ${title}\n`);
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
    child.once('close', (code, signal) => {
      runningGroup = undefined;
      if (signal === null) resolve(code === 0);
      else reject(new SetupError(`${script} was ended by ${signal}`));
    });
  });
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
