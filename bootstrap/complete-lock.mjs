/**
 * Adds to package-lock.json the optional packages of other platforms that npm left out (`npm run lock:complete`, after a
 * change of dependencies), or to the lock file that is named. With `--check` it only names them. npm leaves a package out
 * when its registry doesn't have it, as does a mirror that serves one platform only. `npm ci` then refuses the lock file on
 * every platform, this one included. An entry that is added here has a version and no checksum, since the package could not
 * be downloaded. The next `npm install` with a full registry adds the checksum.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { LOCKFILE } from './install.mjs';

/**
 * @typedef {{ version?: string, dev?: boolean, optional?: boolean, os?: string[], cpu?: string[],
 *   optionalDependencies?: Record<string, string> }} LockedPackage
 */

/** How packages name platforms: `@biomejs/cli-win32-arm64`, `@swc/core-linux-arm-gnueabihf`. */
const PLATFORM =
  /-(?<os>android|darwin|freebsd|linux|openharmony|win32)-(?<cpu>arm64|arm|ia32|loong64|ppc64|riscv64|s390x|x64)\b/;

/**
 * The optional packages that a lock file promises and doesn't hold.
 *
 * @param {Record<string, LockedPackage>} packages the lock file's, by their folder
 * @returns {{ folder: string, entry: LockedPackage }[]}
 */
function missingOptionalPackages(packages) {
  return Object.entries(packages).flatMap(([parent, { dev, optionalDependencies = {} }]) =>
    Object.entries(optionalDependencies)
      .filter(
        ([name]) => !(`${parent}/node_modules/${name}` in packages) && !(`node_modules/${name}` in packages),
      )
      .map(([name, version]) => ({
        folder: `node_modules/${name}`,
        entry: { version, ...(dev ? { dev } : {}), optional: true, ...platformOf(name) },
      })),
  );
}

/** @param {string} name */
function platformOf(name) {
  const { os, cpu } = PLATFORM.exec(name)?.groups ?? {};
  if (os === undefined || cpu === undefined) throw new Error(`which platform is ${name} for?`);
  return { os: [os], cpu: [cpu] };
}

const file = process.argv.slice(2).find((argument) => !argument.startsWith('--')) ?? LOCKFILE;
const lock = JSON.parse(await readFile(file, 'utf8'));
const missing = missingOptionalPackages(lock.packages);
for (const { folder, entry } of missing) {
  lock.packages[folder] = entry;
  process.stdout.write(`${folder}@${entry.version}\n`);
}
if (process.argv.includes('--check')) {
  process.exitCode = missing.length === 0 ? 0 : 1;
} else {
  lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
  await writeFile(file, `${JSON.stringify(lock, null, 2)}\n`);
}
