import { registerHooks } from 'node:module';

/** Packages that Temporal's SDK loads as it starts, and calls only to bundle workflows. */
const OF_THE_BUNDLER: ReadonlySet<string> = new Set(['memfs', 'unionfs', 'webpack']);

/**
 * From now on Temporal's SDK loads in this thread where its bundler is not installed: the packages of a release bring the workflows bundled, and leave
 * it out (`bootstrap/pack.mjs`). In its place stands a module of Node that has none of its functions.
 */
export function loadWithoutBundler(): void {
  registerHooks({
    resolve(specifier, context, nextResolve) {
      if (!OF_THE_BUNDLER.has(specifier)) return nextResolve(specifier, context);
      try {
        return nextResolve(specifier, context);
      } catch (error) {
        if (!isMissing(error)) throw error;
        return { url: 'node:util', format: 'builtin', shortCircuit: true };
      }
    },
  });
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /MODULE_NOT_FOUND$/.test(String(error.code));
}
