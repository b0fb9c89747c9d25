import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

it('the WebAssembly is what its sources say (else: npm run wasm)', async () => {
  const script = path.join(__dirname, '../../bootstrap/wasm.mjs');
  const { stderr } = await promisify(execFile)(process.execPath, [script, '--check']);
  expect(stderr).toBe('');
});
