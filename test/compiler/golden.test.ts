import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compile } from '../../compiler/compile.ts';
import { renderDiagnostics } from '../../compiler/render.ts';

const FOLDER = join(__dirname, 'golden');

/** Compares with the golden file; `UPDATE_GOLDEN=1` writes it anew, to be read before it is committed. */
function expectGolden(name: string, actual: string): void {
  const path = join(FOLDER, name);
  if (process.env.UPDATE_GOLDEN !== undefined) writeFileSync(path, actual);
  expect(actual).toBe(readFileSync(path, 'utf8'));
}

const names = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.yaml'))
  .map((name) => name.replace('.yaml', ''));

describe('a plan file compiles to what its golden files say', () => {
  test.each(names)('%s', (name) => {
    const file = { path: `${name}.yaml`, text: readFileSync(join(FOLDER, `${name}.yaml`), 'utf8') };
    const { plans, repositories, diagnostics } = compile([file]);
    if (diagnostics.length > 0) {
      expectGolden(`${name}.golden.txt`, renderDiagnostics(diagnostics, [file], { color: false }));
      expect(plans).toEqual([]);
    } else {
      expectGolden(`${name}.golden.json`, `${JSON.stringify({ plans, repositories }, undefined, 2)}\n`);
    }
  });
});

test('colors change nothing but the colors', () => {
  const file = { path: 'many-errors.yaml', text: readFileSync(join(FOLDER, 'many-errors.yaml'), 'utf8') };
  const { diagnostics } = compile([file]);
  const colored = renderDiagnostics(diagnostics, [file], { color: true });
  const plain = renderDiagnostics(diagnostics, [file], { color: false });
  expect(colored).not.toBe(plain);
  expect(colored.replace(/\u001b\[\d+m/g, '')).toBe(plain);
});
