import { readdirSync } from 'node:fs';
import { registerHooks } from 'node:module';

/** The packages that `bootstrap/bundle-dependencies.mjs` bundles into one file each, with the versions that package.json requires. */
type BundledVersions = Readonly<Record<'commander' | 'yaml' | 'zod', string>>;

/**
 * From now on, every import of a bundled package in this thread loads its bundle. Where there is no bundle of the right version (`npm ci`
 * run by hand, a dependency just changed), the package itself is loaded, which only takes longer.
 */
export function useBundledDependencies(versions: BundledVersions): void {
  const bundles = findBundles(folderOf(import.meta.url), versions);
  if (bundles.size === 0) return;
  registerHooks({
    resolve(specifier, context, nextResolve) {
      const url = bundles.get(specifier);
      return url === undefined
        ? nextResolve(specifier, context)
        : { url, format: 'module', shortCircuit: true };
    },
  });
}

/** The URLs of the bundles in `folder`, by package name. Only bundles of the right versions. */
export function findBundles(
  folder: URL,
  { commander, yaml, zod }: BundledVersions,
): ReadonlyMap<string, string> {
  const files = filesIn(folder);
  const wanted = Object.entries({ commander, yaml, zod }).map(
    ([name, version]) => [name, `${name}-${version}.mjs`] as const,
  );
  return new Map(
    wanted
      .filter(([, file]) => files.includes(file))
      .map(([name, file]) => [name, new URL(file, folder).href]),
  );
}

/** The folder of the bundles: in the published package, or in a checkout. */
function folderOf(ownUrl: string): URL {
  return ownUrl.endsWith('.js')
    ? new URL('../dependencies/', ownUrl)
    : new URL('../node_modules/.holdfast-dependencies/', ownUrl);
}

function filesIn(folder: URL): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}
