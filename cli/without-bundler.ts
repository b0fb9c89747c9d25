import { registerHooks } from 'node:module';

/** Packages that Temporal's SDK loads as it starts, and calls only to bundle workflows. */
const OF_THE_BUNDLER: ReadonlySet<string> = new Set(['memfs', 'unionfs', 'webpack']);

/**
 * From now on Temporal's SDK loads in this thread without its bundler: a worker gets the workflows bundled (`worker/bundle.ts`). Packages of a release leave the
 * bundler out (`bootstrap/pack.mjs`), and where it is installed, loading it costs about 100 modules. In its place stands a module of Node that has none of its
 * functions.
 */
export function loadWithoutBundler(): void {
  registerHooks({
    resolve(specifier, context, nextResolve) {
      return OF_THE_BUNDLER.has(specifier)
        ? { url: 'node:util', format: 'builtin', shortCircuit: true }
        : nextResolve(specifier, context);
    },
  });
}
