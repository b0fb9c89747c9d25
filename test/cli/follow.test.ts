import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

/** In a process of its own, which is what a signal goes to. */
test('an interrupt is heard although Temporal answers nothing at all', async () => {
  const script = path.join(import.meta.dirname, 'follow-nothing.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [script]);
  expect(JSON.parse(stdout)).toEqual({ ended: false });
});
