import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { bundleWorkflowCode } from '@temporalio/worker';

/**
 * The workflows as one script for Temporal's sandbox. The published package carries it built; a checkout builds it once
 * per state of the sources into the user's cache folder, in a process of its own: the bundler would stay in the worker's
 * memory (about 150 MB).
 */
export async function workflowBundle(): Promise<{ codePath: string }> {
  const here = fileURLToPath(import.meta.url);
  const published = join(dirname(here), '..', 'workflow-bundle.js');
  if (here.endsWith('.js') && existsSync(published)) return { codePath: published };
  const codePath = join(bundleFolder(), `${fingerprint(dirname(dirname(here)))}.js`);
  if (!existsSync(codePath)) await promisify(execFile)(process.execPath, [here, codePath]);
  return { codePath };
}

/** Builds the bundle and puts it at `target` in one step, so that two builders can't disturb each other. */
export async function buildBundle(target: string): Promise<void> {
  const extension = import.meta.url.endsWith('.js') ? 'js' : 'ts';
  const { code } = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL(`../workflows/index.${extension}`, import.meta.url)),
    logger: { ...console, trace: ignore, debug: ignore, info: ignore, log: ignore },
  });
  mkdirSync(dirname(target), { recursive: true });
  const temporary = `${target}.${process.pid}`;
  writeFileSync(temporary, code);
  renameSync(temporary, target);
}

function bundleFolder(): string {
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'holdfast', 'workflow-bundles');
}

/** Of everything that goes into the bundle: sources and the versions of what they import. */
function fingerprint(root: string): string {
  const hash = createHash('sha256');
  const sources = globSync(['workflows/*.ts', 'model/*.ts', 'activities/contract.ts', 'package-lock.json'], {
    cwd: root,
  });
  for (const path of sources.sort()) hash.update(path).update(readFileSync(join(root, path)));
  return hash.digest('hex').slice(0, 16);
}

function ignore(): void {
  // The bundler's progress is of no interest.
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , target] = process.argv;
  if (target === undefined) throw new Error('usage: bundle TARGET');
  await buildBundle(target);
}
