import { readFileSync } from 'node:fs';
import path from 'node:path';
import { addressOf, PAGES, ROOT } from './pages.mjs';

const INDEX = 'docs/README.md';

/**
 * The navigation: a group for each job of the index by job (docs/README.md), with the pages that its row names.
 *
 * @throws {Error} where the index has no row
 */
export function navigation() {
  const rows = [
    ...readFileSync(path.join(ROOT, INDEX), 'utf8').matchAll(/^\| \*\*(?<job>.+?)\*\* \| (?<links>.*) \|$/gm),
  ];
  if (rows.length === 0) throw new Error(`${INDEX} has no row of the form | **job** | links |`);
  return rows.map(({ groups: { job = '', links = '' } = {} }) => ({
    text: capital(job),
    collapsed: false,
    items: itemsOf(links),
  }));
}

/** @param {string} links the second cell of a row */
function itemsOf(links) {
  const items = new Map();
  for (const { groups: { text = '', target = '' } = {} } of links.matchAll(
    /\[(?<text>[^\]]+)\]\((?<target>[^)#]+)(?:#[^)]*)?\)/g,
  )) {
    const page = path.normalize(path.join(path.dirname(INDEX), target));
    // What is no page of the site (a folder of examples) is found by the link on the index itself.
    if (PAGES.includes(page) && !items.has(page))
      items.set(page, { text: capital(text), link: addressOf(page) });
  }
  return [...items.values()];
}

/** @param {string} text */
function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
