import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

/**
 * A program: `build-bundle TARGET ENTRY` bundles the workflows that `workflows/ENTRY.ts` exports. The file appears in one step, so two
 * builders don't collide.
 */
const [, , target, entry] = process.argv;
if (target === undefined || entry === undefined) throw new Error('usage: build-bundle TARGET ENTRY');

const extension = import.meta.url.endsWith('.js') ? 'js' : 'ts';
const silent = () => undefined;
const moduleOf = (name: string) =>
  fileURLToPath(new URL(`../workflows/${name}.${extension}`, import.meta.url));
const { code } = await bundleWorkflowCode({
  workflowsPath: moduleOf(entry),
  payloadConverterPath: moduleOf('tolerant-converter'),
  workflowInterceptorModules: [moduleOf('signed-input'), moduleOf('traced')],
  logger: {
    log: silent,
    trace: silent,
    debug: silent,
    info: silent,
    warn: console.warn,
    error: console.error,
  },
});
mkdirSync(dirname(target), { recursive: true });
const temporary = `${target}.${process.pid}`;
writeFileSync(temporary, code);
renameSync(temporary, target);
