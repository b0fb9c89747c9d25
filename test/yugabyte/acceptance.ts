import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { createScratchFolder } from '../../parts/scratch.ts';

/** How a suite of the acceptance tests ended. */
export interface SuiteOutcome {
  /** A path of tests, e.g. `test/ysql`. */
  readonly suite: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Names of the tests that failed, and files that could not be loaded. */
  readonly failures: readonly string[];
}

const JEST = path.join(import.meta.dirname, '../../node_modules/jest/bin/jest.js');

/** Runs the tests under `suite` against the servers that `environment` names; what Jest prints goes on. `args` go to Jest. */
export async function runSuite(
  suite: string,
  environment: Readonly<Record<string, string>>,
  args: readonly string[] = [],
): Promise<SuiteOutcome> {
  const scratch = await createScratchFolder('matrix-jest');
  try {
    const report = path.join(scratch.path, 'report.json');
    const child = spawn(
      process.execPath,
      [JEST, '--runInBand', '--json', `--outputFile=${report}`, suite, ...args],
      // With --json Jest writes its document to stdout too; what people read is on stderr.
      { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, ...environment } },
    );
    await once(child, 'close');
    return outcomeOf(suite, await readFile(report, 'utf8'));
  } finally {
    await scratch.remove();
  }
}

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

/** A file that could not be loaded has no tests, and is a failure all the same; so is a suite in which nothing ran. */
export function outcomeOf(suite: string, text: string): SuiteOutcome {
  const report = JSON.parse(text) as Report;
  const failures = report.testResults.flatMap(({ name, status, assertionResults }) => {
    const failed = assertionResults.filter((test) => test.status === 'failed').map((test) => test.fullName);
    return status === 'failed' && failed.length === 0 ? [`${path.basename(name)} could not be run`] : failed;
  });
  const { numPassedTests: passed, numPendingTests: skipped } = report;
  if (passed === 0 && failures.length === 0) failures.push(`no test ran under ${suite}`);
  return { suite, passed, failed: failures.length, skipped, failures };
}
