import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { findBundles } from '../../cli/bundled-dependencies.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { withScratchFolder } from '../support/scratch.ts';

const ROOT = path.join(__dirname, '../..');
const run = promisify(execFile);
const VERSIONS = { commander: '1.0.0', yaml: '2.0.0', zod: '3.0.0' };

it('only a bundle of the version that is asked for is used, and nothing where there are none', () =>
  withScratchFolder(async (folder) => {
    const bundles = pathToFileURL(`${folder}/bundles/`);
    expect(findBundles(bundles, VERSIONS)).toEqual(new Map());
    await mkdir(bundles);
    for (const file of ['zod-3.0.0.mjs', 'yaml-1.9.9.mjs']) await writeFile(new URL(file, bundles), '');
    expect(findBundles(bundles, VERSIONS)).toEqual(
      new Map([['zod', new URL('zod-3.0.0.mjs', bundles).href]]),
    );
  }));

it('the bundles export what the packages do, are named by their versions, and carry their licences', () =>
  withScratchFolder(async (folder) => {
    const target = path.join(folder, 'bundles');
    await run(process.execPath, [path.join(ROOT, 'bootstrap/bundle-dependencies.mjs'), target]);
    const bundles = findBundles(pathToFileURL(`${target}/`), packageJson.dependencies);
    expect([...bundles.keys()]).toEqual(['commander', 'yaml', 'zod']);
    const script = `
      import { readFileSync } from 'node:fs';
      const compared = {};
      for (const [name, url] of ${JSON.stringify([...bundles])}) {
        const [bundle, own] = [await import(url), await import(name)];
        compared[name] = {
          missing: Object.keys(own).filter((key) => key !== 'module.exports' && !(key in bundle)),
          exports: Object.keys(own).length > 5,
          licence: readFileSync(new URL(url), 'utf8').slice(0, 2000).includes('Copyright'),
        };
      }
      console.log(JSON.stringify(compared));`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { cwd: ROOT });
    const same = { missing: [], exports: true, licence: true };
    expect(JSON.parse(stdout)).toEqual({ commander: same, yaml: same, zod: same });
  }));
