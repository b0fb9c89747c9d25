/**
 * Makes the packages of a release: `pack FOLDER [PLATFORM…]`, by default of all platforms. `npm run build` comes before it.
 *
 * Temporal's SDK brings its native core for five platforms (148 MB), and a bundler that only a build needs. So a package of ours is made for each
 * platform, which carries its dependencies without both (`bundleDependencies`): nothing else is fetched when it is installed. The package
 * with the plain name is a launcher, of which npm installs the one that fits.
 *
 * Writes `holdfast-VERSION.tgz`, and for each platform `holdfast-VERSION-PLATFORM.tgz` and its bill of materials, `PLATFORM.cdx.json` (CycloneDX).
 */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const ROOT = path.dirname(import.meta.dirname);

/**
 * Platforms by Node's names, and the folder of each one's native core. Temporal builds none for musl (Alpine).
 *
 * @type {Readonly<Record<string, string>>}
 */
const CORES = {
  'darwin-arm64': 'aarch64-apple-darwin',
  'darwin-x64': 'x86_64-apple-darwin',
  'linux-arm64': 'aarch64-unknown-linux-gnu',
  'linux-x64': 'x86_64-unknown-linux-gnu',
};

/** What `@temporalio/worker` needs to bundle workflows and for nothing else (`cli/without-bundler.ts` has a worker start without). */
const ONLY_OF_THE_BUNDLER = ['@swc/core', 'memfs', 'source-map-loader', 'swc-loader', 'unionfs', 'webpack'];

/** Types, their sources and source maps, a third of the dependencies: nothing is compiled against an installed command. */
const FOR_COMPILERS = /\.(?:[cm]?ts|map)$/;

const CORE = 'node_modules/@temporalio/core-bridge';

const [, , given, ...wanted] = process.argv;
const platforms = wanted.length === 0 ? Object.keys(CORES) : wanted;
if (given === undefined || platforms.some((platform) => !(platform in CORES)))
  throw new Error(`usage: pack FOLDER [PLATFORM…], where a platform is one of ${Object.keys(CORES)}`);
const target = path.resolve(given);
mkdirSync(target, { recursive: true });

const scratch = mkdtempSync(path.join(tmpdir(), 'holdfast-pack-'));
try {
  const own = packOwnFiles();
  await packLauncher(own);
  for (const platform of platforms) packPlatform(own, platform);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** @typedef {Record<string, string>} Versions */
/**
 * @typedef {{ name: string, version: string, license: string, description: string, engines: Versions, repository?: unknown, dependencies?: Versions,
 *   optionalDependencies?: Versions, peerDependencies?: Versions, peerDependenciesMeta?: Record<string, { optional?: boolean }>,
 *   exports?: Record<string, unknown> }} Manifest
 */

/** The files of our own that npm publishes, in a folder. @returns {string} */
function packOwnFiles() {
  // What a build prints would stand before npm's document.
  const packed = npm(ROOT, 'pack', '--json', '--ignore-scripts', '--pack-destination', scratch);
  const [{ filename }] = JSON.parse(packed);
  execFileSync('tar', ['-xzf', path.join(scratch, filename), '-C', scratch]);
  return path.join(scratch, 'package');
}

/**
 * It has the library's types, and its names: an `export *` can't name a package that depends on the platform.
 *
 * @param {string} own
 */
async function packLauncher(own) {
  const manifest = readManifest(own);
  const folder = path.join(scratch, 'launcher', 'package');
  for (const file of ['README.md', 'LICENSE', 'dist/holdfast.1'])
    cpSync(path.join(own, file), path.join(folder, path.basename(file)));
  cpSync(path.join(import.meta.dirname, 'launcher.mjs'), path.join(folder, 'holdfast.mjs'));
  const names = Object.keys(await import(pathToFileURL(path.join(ROOT, 'dist/library/index.js')).href));
  writeFileSync(path.join(folder, 'library.mjs'), launcherLibrary(readManifest(own).name, names));
  cpSync(path.join(own, 'dist'), path.join(folder, 'types'), {
    recursive: true,
    filter: (file) => statSync(file).isDirectory() || file.endsWith('.d.ts'),
  });
  const { name, version, license, description, engines, repository } = manifest;
  writeManifest(folder, {
    ...{ name, version, description, license, engines, repository, type: 'module' },
    ...{ bin: { holdfast: 'holdfast.mjs' }, man: ['./holdfast.1'] },
    exports: {
      '.': { types: './types/library/index.d.ts', default: './library.mjs' },
      './package.json': './package.json',
    },
    optionalDependencies: Object.fromEntries(
      Object.keys(CORES).map((platform) => [`${name}-${platform}`, version]),
    ),
  });
  archive(folder, `holdfast-${version}`);
}

/**
 * @param {string} name
 * @param {readonly string[]} names
 */
function launcherLibrary(name, names) {
  const own = `\`${name}-\${process.platform}-\${process.arch}\``;
  return `export const { ${names.join(', ')} } = await import(${own});\n`;
}

/**
 * @param {string} own
 * @param {string} platform
 */
function packPlatform(own, platform) {
  const [os, cpu] = platform.split('-');
  const folder = path.join(scratch, platform, 'package');
  cpSync(own, folder, { recursive: true });
  const { scripts: _, devDependencies: __, ...manifest } = readManifest(own);
  const name = `${manifest.name}-${platform}`;
  writeManifest(folder, {
    ...{ ...manifest, name, os: [os], cpu: [cpu], ...(os === 'linux' ? { libc: ['glibc'] } : {}) },
    exports: { ...manifest.exports, './cli': './dist/cli/main.js' },
    bundleDependencies: Object.keys(manifest.dependencies ?? {}),
  });
  for (const place of neededPackages()) copyPackage(place, folder, CORES[platform] ?? '');
  archive(folder, `holdfast-${manifest.version}-${platform}`);
  const bill = npm(folder, 'sbom', '--sbom-format=cyclonedx', '--sbom-type=application');
  writeFileSync(path.join(target, `${platform}.cdx.json`), bill);
  rmSync(path.dirname(folder), { recursive: true });
}

/** The folders of all packages that the installed command needs, from the root. @returns {Set<string>} */
function neededPackages() {
  /** @type {Set<string>} */
  const found = new Set();
  const waiting = [''];
  for (const place of waiting) {
    for (const [name, isOptional] of dependenciesOf(readManifest(path.join(ROOT, place)))) {
      const dependency = placeOf(name, place);
      if (dependency === undefined) {
        if (isOptional) continue;
        throw new Error(`${name}, which ${place || 'the package'} needs, is not installed: run npm ci`);
      }
      if (found.has(dependency)) continue;
      found.add(dependency);
      waiting.push(dependency);
    }
  }
  return found;
}

/**
 * @param {Manifest} manifest
 * @returns {readonly (readonly [name: string, isOptional: boolean])[]}
 */
function dependenciesOf({ name, dependencies = {}, optionalDependencies, peerDependencies, ...rest }) {
  const peers = Object.keys(peerDependencies ?? {}).filter(
    (peer) => rest.peerDependenciesMeta?.[peer]?.optional !== true,
  );
  return [
    ...withoutBundler(name, Object.keys(dependencies)).map((each) => /** @type {const} */ ([each, false])),
    ...peers.map((each) => /** @type {const} */ ([each, false])),
    ...Object.keys(optionalDependencies ?? {}).map((each) => /** @type {const} */ ([each, true])),
  ];
}

/**
 * @param {string} name
 * @param {readonly string[]} dependencies
 */
function withoutBundler(name, dependencies) {
  return name === '@temporalio/worker'
    ? dependencies.filter((each) => !ONLY_OF_THE_BUNDLER.includes(each))
    : dependencies;
}

/**
 * Where Node finds a package from a place: the folder, from the root.
 *
 * @param {string} name
 * @param {string} place
 * @returns {string | undefined}
 */
function placeOf(name, place) {
  for (let from = place; ; from = from.slice(0, Math.max(0, from.lastIndexOf('/node_modules/')))) {
    const found = path.join(from, 'node_modules', name);
    if (existsSync(path.join(ROOT, found, 'package.json'))) return found;
    if (from === '') return undefined;
  }
}

/**
 * @param {string} place
 * @param {string} folder
 * @param {string} core
 */
function copyPackage(place, folder, core) {
  const from = path.join(ROOT, place);
  const isWanted = (/** @type {string} */ file) => {
    const inside = path.relative(from, file);
    // Packages within are copied by themselves.
    if (inside === 'node_modules' || FOR_COMPILERS.test(inside)) return false;
    if (place !== CORE) return true;
    const [part, ...rest] = inside.split(path.sep);
    if (part === 'releases') return rest.length === 0 || rest[0] === core;
    // The core's own sources, but for the licence that its program asks for.
    if (part === 'sdk-core') return rest.length === 0 || /^LICENSE/.test(rest.join('/'));
    return part !== 'src';
  };
  cpSync(from, path.join(folder, place), { recursive: true, filter: isWanted });
  const manifest = readManifest(from);
  if (manifest.name !== '@temporalio/worker') return;
  const kept = withoutBundler(manifest.name, Object.keys(manifest.dependencies ?? {}));
  const dependencies = Object.fromEntries(kept.map((name) => [name, manifest.dependencies?.[name]]));
  writeManifest(path.join(folder, place), { ...manifest, dependencies });
}

/**
 * @param {string} folder
 * @param {string} name
 */
function archive(folder, name) {
  execFileSync('tar', ['-czf', path.join(target, `${name}.tgz`), '-C', path.dirname(folder), 'package']);
}

/**
 * @param {string} folder
 * @returns {Manifest & { scripts?: unknown, devDependencies?: unknown }}
 */
function readManifest(folder) {
  return JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
}

/**
 * @param {string} folder
 * @param {object} manifest
 */
function writeManifest(folder, manifest) {
  writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

/**
 * @param {string} folder
 * @param {readonly string[]} args
 */
function npm(folder, ...args) {
  return execFileSync('npm', args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}
