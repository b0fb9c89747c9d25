#!/usr/bin/env node
/** The command of the package with the plain name: npm has installed the package of this platform beside it (`bootstrap/pack.mjs`). */
import { readFileSync } from 'node:fs';

const { name } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));
const own = `${name}-${process.platform}-${process.arch}`;
try {
  await import(`${own}/cli`);
} catch (error) {
  if (!(error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND')) throw error;
  if (!error.message.includes(own)) throw error;
  process.stderr.write(
    `error: the package ${own} is not installed\n  → There is one for Linux with glibc and for macOS, on x64 and arm64. Where yours is one of these, install again without --omit=optional.\n`,
  );
  process.exitCode = 1;
}
