import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

it('the lock file holds the optional packages of every platform (else: npm run lock:complete)', async () => {
  const script = path.join(__dirname, '../../bootstrap/complete-lock.mjs');
  const { stdout } = await promisify(execFile)(process.execPath, [script, '--check']);
  expect(stdout).toBe('');
});
