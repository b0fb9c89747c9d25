import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

/** A program: `build-bundle TARGET` bundles the workflows. The file appears in one step, so two builders don't collide. */
const [, , target] = process.argv;
if (target === undefined) throw new Error('usage: build-bundle TARGET');

const extension = import.meta.url.endsWith('.js') ? 'js' : 'ts';
const silent = () => undefined;
const moduleOf = (name: string) =>
  fileURLToPath(new URL(`../workflows/${name}.${extension}`, import.meta.url));
const { code } = await bundleWorkflowCode({
  workflowsPath: moduleOf('index'),
  payloadConverterPath: moduleOf('tolerant-converter'),
  workflowInterceptorModules: [moduleOf('signed-input')],
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
