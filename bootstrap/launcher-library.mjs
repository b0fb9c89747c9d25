/** The library of the package with the plain name, which is that of the package of this platform. `pack.mjs` writes the names in place of the mark. */
import { readFileSync } from 'node:fs';

const { name } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));
export const { /* names */ } = await import(`${name}-${process.platform}-${process.arch}`);
