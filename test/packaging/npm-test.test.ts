import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { withScratchFolder } from '../support/scratch.ts';

const ROOT = path.dirname(path.dirname(__dirname));

const PASSES = '';
const FAILS = 'process.exitCode = 1;';

/** A Jest that writes the report that is asked for, and fails as Jest does when a test has failed. */
function jestReporting(report: {
  readonly passed: number;
  readonly failed: number;
  readonly unloadable: number;
}) {
  return `
const outputFile = process.argv.find((argument) => argument.startsWith('--outputFile=')).split('=')[1];
require('node:fs').writeFileSync(outputFile, JSON.stringify({
  numPassedTests: ${report.passed},
  numFailedTests: ${report.failed},
  numRuntimeErrorTestSuites: ${report.unloadable},
  numPendingTests: 0,
}));
console.log('arguments: ' + process.argv.slice(4).join(' '));
process.exitCode = ${report.failed + report.unloadable === 0 ? 0 : 1};`;
}

const TWELVE_TESTS = jestReporting({ passed: 12, failed: 0, unloadable: 0 });

type Programs = {
  readonly prepare?: string;
  readonly lint?: string;
  readonly types?: string;
  readonly jest?: string;
};

/** Runs the bootstrap of `npm test` in a checkout whose linter, type checker and Jest are those given. */
function npmTest(programs: Programs, ...args: readonly string[]) {
  return withScratchFolder(async (root) => {
    await cp(path.join(ROOT, 'bootstrap'), path.join(root, 'bootstrap'), { recursive: true });
    const scripts = {
      'parts/prepare.ts': programs.prepare ?? PASSES,
      'node_modules/@biomejs/biome/bin/biome': programs.lint ?? PASSES,
      'node_modules/typescript/bin/tsc': programs.types ?? PASSES,
      'node_modules/jest/bin/jest.js': programs.jest ?? TWELVE_TESTS,
    };
    for (const [file, script] of Object.entries(scripts)) {
      await mkdir(path.join(root, path.dirname(file)), { recursive: true });
      await writeFile(path.join(root, file), script);
      await chmod(path.join(root, file), 0o755);
    }
    await mkdir(path.join(root, 'node_modules/.bin'));
    await symlink(process.execPath, path.join(root, 'node_modules/.bin/node'));
    await copyFile(path.join(ROOT, 'package-lock.json'), path.join(root, 'package-lock.json'));
    await copyFile(path.join(ROOT, 'package-lock.json'), path.join(root, 'node_modules/.holdfast-installed'));
    const child = spawn(process.execPath, [path.join(root, 'bootstrap/test.mjs'), ...args], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [stdout, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
    return { code, stdout, lastLine: stdout.trimEnd().split('\n').at(-1) };
  });
}

describe('npm test', () => {
  it.each([
    ['everything passes', {}, 0, '14 passed, 0 failed'],
    ['the linter finds something', { lint: FAILS }, 1, '13 passed, 1 failed'],
    ['the type checker finds something', { types: FAILS }, 1, '13 passed, 1 failed'],
    [
      'tests fail',
      { jest: jestReporting({ passed: 10, failed: 2, unloadable: 0 }) },
      1,
      '12 passed, 2 failed',
    ],
    [
      'a test file cannot be loaded',
      { jest: jestReporting({ passed: 11, failed: 0, unloadable: 1 }) },
      1,
      '13 passed, 1 failed',
    ],
    ['Jest fails for another reason', { jest: `${TWELVE_TESTS}${FAILS}` }, 1, '14 passed, 1 failed'],
    ['Jest dies without a report', { jest: FAILS }, 1, '2 passed, 1 failed'],
    ['the servers cannot be had', { prepare: FAILS }, 1, '0 passed, 1 failed'],
  ])('ends with the counts on a line of their own when %s', async (_what, programs, code, lastLine) => {
    expect(await npmTest(programs)).toMatchObject({ code, lastLine });
  });

  it('hands its arguments to Jest', async () => {
    const { stdout } = await npmTest({}, 'test/parts', '--verbose');
    expect(stdout).toMatch(/arguments: .*test\/parts --verbose$/m);
  });
});
