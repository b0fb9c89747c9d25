import { readFile } from 'node:fs/promises';
import { ERROR_PAGE, renderErrorReference } from './error-reference.ts';

describe('docs/errors.md', () => {
  test('is what `npm run docs:errors` makes from the source', async () => {
    expect(await readFile(ERROR_PAGE, 'utf8')).toBe(await renderErrorReference());
  });

  test('finds errors however they are made: a literal, a constant, a table of rules, an object', async () => {
    const page = await renderErrorReference();
    for (const code of [
      'STORE_DENIED',
      'READ_POINT_LOST',
      'YB_ADMIN_TIMED_OUT',
      'FILE_TOO_LARGE',
      'RESTORE_SUPERSEDED',
    ])
      expect(page).toContain(`| \`${code}\` | `);
  });
});
