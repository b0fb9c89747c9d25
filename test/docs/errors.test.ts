import { readFile } from 'node:fs/promises';
import { ERROR_PAGE, renderErrorReference } from './error-reference.ts';

describe('docs/errors.md', () => {
  let fromSource = '';
  beforeAll(async () => {
    fromSource = await renderErrorReference();
  });

  test('is what `npm run docs:errors` makes from the source', async () => {
    expect(await readFile(ERROR_PAGE, 'utf8')).toBe(fromSource);
  });

  test.each([
    'STORE_DENIED',
    'READ_POINT_LOST',
    'YB_ADMIN_TIMED_OUT',
    'FILE_TOO_LARGE',
    'RESTORE_SUPERSEDED',
  ])('has %s, made by a literal, a constant, a table of rules or an object', (code) =>
    expect(fromSource).toContain(`| \`${code}\` | `),
  );
});
