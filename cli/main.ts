#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { cacheFolder } from '../engines/cache-folder.ts';
import packageJson from '../package.json' with { type: 'json' };
import { useBundledDependencies } from './bundled-dependencies.ts';
import { becomeWorkerProcess } from './worker-process.ts';

/**
 * From here on, all modules that a command loads are kept in compiled form. This halves the CPU time that a command or a worker needs to
 * start. A folder that can't be written does no harm. The setting is in the environment, so that processes started by this one use it too.
 */
process.env.NODE_COMPILE_CACHE ??= cacheFolder('compiled');
enableCompileCache(process.env.NODE_COMPILE_CACHE);

const [first = '', ...others] = process.argv.slice(2);
if (others.length === 0 && (first === '--version' || first === '-V')) {
  process.stdout.write(`${packageJson.version}\n`);
  process.exit();
}

if (first === 'worker') becomeWorkerProcess();
useBundledDependencies(packageJson.dependencies);
// Imported after the cache was enabled, so that all that it imports is kept in compiled form too.
const { runCommandLine } = await import('./command-line.ts');

// A reader that closes the pipe early (`| head`) is not a failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

await runCommandLine(process.argv.slice(2));
await (await import('./command-trace.ts')).endCommandTrace(first);

// What a command leaves open must not keep it running: a worker's runtime after a failed start, or a call that Temporal's client would retry
// on a closed connection.
process.stdout.write('', () => process.exit());
