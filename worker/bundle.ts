import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cacheFolder } from '../engines/cache-folder.ts';
import { FOR_NODE, programEnvironment } from '../model/program-environment.ts';

/** Files of `workflows/` that a bundle is made of: `versioned` for workers of a deployment, `index` for all others. */
type BundleEntry = 'index' | 'versioned';

/**
 * The workflows as one script for Temporal's sandbox. The published package contains it. A checkout builds it once for each state
 * of the sources, into the user's cache folder. A process of its own does so, since the bundler would stay in the worker's memory
 * (about 150 MB).
 */
export async function workflowBundle(entry: BundleEntry = 'index'): Promise<{ codePath: string }> {
  const here = fileURLToPath(import.meta.url);
  const builder = here.replace(/bundle\.(.s)$/, 'build-bundle.$1');
  const published = join(dirname(here), '..', `workflow-bundle.${entry}.js`);
  if (here.endsWith('.js') && existsSync(published)) return { codePath: published };
  const file = `${fingerprint(dirname(dirname(here)))}.${entry}.js`;
  const codePath = join(cacheFolder('workflow-bundles'), file);
  if (!existsSync(codePath)) {
    const env = programEnvironment(process.env, FOR_NODE);
    await promisify(execFile)(process.execPath, [builder, codePath, entry], { env });
  }
  return { codePath };
}

/** A hash of everything that goes into the bundle: sources, and the versions of what they import. */
function fingerprint(root: string): string {
  const hash = createHash('sha256');
  const parts = ['{workflows,planning,model}/**/*.ts', 'activities/contract.ts', 'package-lock.json'];
  const sources = globSync(parts, { cwd: root });
  for (const path of sources.sort()) hash.update(path).update(readFileSync(join(root, path)));
  return hash.digest('hex').slice(0, 16);
}
