/**
 * Translates the project's WebAssembly (`npm run wasm`, after a change of a `.wat` file) to TypeScript modules beside it, which need
 * no loader wherever the code runs from; with `--check` it only names those that are not current.
 */
import { glob, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import wabt from 'wabt';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * @param {string} source path of a `.wat` file
 * @returns {Promise<string>} the module that holds its translation
 */
async function translate(source) {
  const { parseWat } = await wabt();
  const module = parseWat(source, await readFile(source), { bulk_memory: true, multi_value: true });
  module.resolveNames();
  module.validate();
  const { buffer } = module.toBinary({});
  const base64 = Buffer.from(buffer).toString('base64');
  return `// ${basename(source)}, translated by \`npm run wasm\`.\nexport const WASM =\n  '${base64}';\n`;
}

const sources = await Array.fromAsync(glob('engines/**/*.wat', { cwd: ROOT }));
if (sources.length === 0) throw new Error('engines/ holds no .wat file');
for (const file of sources) {
  const target = join(ROOT, file.replace(/\.wat$/, '.wasm.ts'));
  const translation = await translate(join(ROOT, file));
  if (!process.argv.includes('--check')) await writeFile(target, translation);
  else if ((await readFile(target, 'utf8')) !== translation) {
    process.stderr.write(`${file} was changed: run \`npm run wasm\`\n`);
    process.exitCode = 1;
  }
}
