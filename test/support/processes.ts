import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const PATIENCE_MS = 600_000;

/** Whether a process runs. A zombie, which has ended and waits for its parent, doesn't. */
export async function isRunning(pid: number): Promise<boolean> {
  try {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'stat=', '-p', String(pid)]);
    return !stdout.startsWith('Z');
  } catch (error) {
    // ps ends with code 1 when it knows no such process.
    if (error instanceof Error && 'code' in error && error.code === 1) return false;
    throw error;
  }
}

/**
 * Waits until `condition` holds, for at most ten minutes: no verdict depends on speed.
 *
 * @param seen what to report of the last look if the condition never held
 */
export async function eventually(
  what: string,
  condition: () => Promise<boolean>,
  seen?: () => unknown,
): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    if (Date.now() > deadline) {
      const last = seen === undefined ? '' : `; last seen: ${JSON.stringify(seen())}`;
      throw new Error(`still not true after ${PATIENCE_MS / 1000} s: ${what}${last}`);
    }
    await sleep(50);
  }
}
