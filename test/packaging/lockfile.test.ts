import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const ROOT = path.join(__dirname, '../..');

describe.each(['package-lock.json', 'site/package-lock.json'])('%s', (file) => {
  it('holds the optional packages of every platform (else: npm run lock:complete)', async () => {
    const script = path.join(ROOT, 'bootstrap/complete-lock.mjs');
    const { stdout } = await promisify(execFile)(process.execPath, [
      script,
      path.join(ROOT, file),
      '--check',
    ]);
    expect(stdout).toBe('');
  });

  it('names no registry: whoever installs has his own', async () => {
    expect(await readFile(path.join(ROOT, file), 'utf8')).not.toContain('"resolved"');
  });
});
