/**
 * Bundles the packages that nearly every command loads into one file each (`bundle-dependencies FOLDER`). They are about 175 files, and
 * opening them took a third of the time of `holdfast validate`. `cli/bundled-dependencies.ts` has a command load the bundles.
 * `install.mjs` makes them for a checkout, `npm run build` for the package.
 *
 * Our own sources are not bundled: a checkout always runs what stands in its files. Nothing is minified, so that stack traces can be read.
 */
import { mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { promisify } from 'node:util';
import webpack from 'webpack';

const ROOT = path.dirname(import.meta.dirname);
const PACKAGES = ['commander', 'yaml', 'zod'];

const [, , given] = process.argv;
if (given === undefined) throw new Error('usage: bundle-dependencies FOLDER');
const target = path.resolve(given);

const { dependencies } = createRequire(import.meta.url)('../package.json');
// The folder appears in one step, so that nobody loads half a bundle.
const fresh = `${target}.${process.pid}`;
mkdirSync(fresh, { recursive: true });
await bundle(fresh);
rmSync(target, { recursive: true, force: true });
renameSync(fresh, target);

/**
 * The version in a bundle's name is the one that package.json asks for: once another is asked for, the bundle is no longer used.
 *
 * @param {string} folder
 */
async function bundle(folder) {
  const compiler = webpack({
    mode: 'production',
    target: 'node24',
    context: ROOT,
    devtool: false,
    entry: Object.fromEntries(PACKAGES.map((name) => [`${name}-${dependencies[name]}`, name])),
    experiments: { outputModule: true },
    output: { path: folder, filename: '[name].mjs', chunkFormat: 'module', library: { type: 'module' } },
    optimization: { minimize: false },
    plugins: [
      new webpack.BannerPlugin({
        // The licences of the packages ask for their text beside each copy.
        banner: ({ chunk }) => licenceOf(String(chunk.name).replace(/-[^-]*$/, '')),
      }),
    ],
  });
  const stats = await promisify(compiler.run.bind(compiler))();
  await promisify(compiler.close.bind(compiler))();
  if (stats === undefined || stats.hasErrors()) {
    rmSync(folder, { recursive: true, force: true });
    throw new Error(`the dependencies could not be bundled: ${stats?.toString('errors-only')}`);
  }
}

/** @param {string} name */
function licenceOf(name) {
  return `${name}\n\n${readFileSync(path.join(ROOT, 'node_modules', name, 'LICENSE'), 'utf8')}`;
}
