/** `npm run docs:errors` */
import { writeFile } from 'node:fs/promises';
import { ERROR_PAGE, renderErrorReference } from './error-reference.ts';

await writeFile(ERROR_PAGE, await renderErrorReference());
