import { globSync, readdirSync } from 'node:fs';
import path from 'node:path';

/** The checkout, in which the pages stand. */
export const ROOT = path.dirname(import.meta.dirname);

/** Every page of the site, from the checkout's root. */
export const PAGES = globSync(
  [
    'README.md',
    'ARCHITECTURE.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'SECURITY.md',
    'docs/**/*.md',
    'deploy/**/*.md',
  ],
  { cwd: ROOT },
);

/** What of the checkout the search for pages leaves alone: everything at its top that has none, above all node_modules. */
export const NOT_PAGES = readdirSync(ROOT, { withFileTypes: true })
  .filter(({ name }) => !PAGES.some((page) => page.split('/')[0] === name))
  .map((entry) => (entry.isDirectory() ? `${entry.name}/**` : entry.name));

/** A README is what its folder opens with. @type {Record<string, string>} */
export const REWRITES = Object.fromEntries(
  PAGES.filter((page) => path.basename(page) === 'README.md').map((page) => [
    page,
    path.join(path.dirname(page), 'index.md'),
  ]),
);

/**
 * The address of a page on the site, without its base: `/docs/faq`, `/docs/` for `docs/README.md`.
 *
 * @param {string} page from the checkout's root
 */
export function addressOf(page) {
  const address = `/${(REWRITES[page] ?? page).replace(/\.md$/, '')}`;
  return address.replace(/(?<=^|\/)index$/, '');
}
