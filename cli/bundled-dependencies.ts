import { readdirSync } from 'node:fs';
import { registerHooks } from 'node:module';

/** The packages that `bootstrap/bundle-dependencies.mjs` makes into one file each, and the versions that package.json asks for. */
type BundledVersions = Readonly<Record<'commander' | 'yaml' | 'zod', string>>;

/**
 * Has every import of a bundled package load its bundle from now on, in this thread. Without a bundle of the wanted version (`npm ci` run by
 * hand, a dependency just changed) the package itself is loaded, which only takes longer.
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

/** The URLs of the bundles in `folder`, by the name of their package: only those of the wanted versions. */
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

/** Where the package has them, and where a checkout has them. */
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
