import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { addressOf, PAGES, REWRITES, ROOT } from './pages.mjs';

/** Where the repository can be browsed (`https://…/blob/<commit>`). Links to files that are no pages lead there; without it they are plain text. */
const SOURCE = process.env.HOLDFAST_SITE_SOURCE;

/** Links to headings, which are looked for once the site is built. @type {{ page: string, target: string, anchor: string }[]} */
const anchors = [];

/**
 * Has links lead where they lead in the checkout.
 *
 * @param {import('markdown-it').default} markdown
 * @throws {Error} for a link whose target is not in the checkout
 */
export function pageLinks(markdown) {
  markdown.core.ruler.push('holdfast_links', ({ tokens, env }) => {
    const page = path.relative(ROOT, env.path);
    for (const { children } of tokens) {
      for (const [index, token] of (children ?? []).entries()) {
        if (token.type === 'link_open') follow(page, token, closing(children, index));
      }
    }
  });
}

/** @param {import('markdown-it').Token[]} tokens */
function closing(tokens, from) {
  return tokens.slice(from).find(({ type }) => type === 'link_close');
}

function follow(page, open, close) {
  const href = open.attrGet('href') ?? '';
  if (/^[a-z]+:/i.test(href)) return;
  const [file = '', anchor] = href.split('#');
  const target = file === '' ? page : path.normalize(path.join(path.dirname(page), decodeURI(file)));
  if (anchor !== undefined && PAGES.includes(target))
    anchors.push({ page, target, anchor: decodeURI(anchor) });
  if (file === '') return;
  if (PAGES.includes(target)) {
    open.attrSet('href', addressOf(target) + (anchor === undefined ? '' : `#${anchor}`));
  } else if (!existsSync(path.join(ROOT, target))) {
    throw new Error(`${page}: ${href} leads nowhere`);
  } else if (SOURCE === undefined) {
    unlink(open, close);
  } else open.attrSet('href', `${SOURCE}/${target}`);
}

function unlink(...tokens) {
  for (const token of tokens) {
    token.type = 'text';
    token.content = '';
    token.nesting = 0;
  }
}

/**
 * Looks for each heading that a link names in the page that was built.
 *
 * @param {string} outDir
 * @throws {Error} with all that are missing
 */
export function requireAnchors(outDir) {
  const missing = new Set();
  for (const { page, target, anchor } of anchors) {
    const built = (REWRITES[target] ?? target).replace(/\.md$/, '.html');
    if (!readFileSync(path.join(outDir, built), 'utf8').includes(`id="${anchor}"`)) {
      missing.add(`  ${page}: ${target}#${anchor}`);
    }
  }
  if (missing.size === 0) return;
  throw new Error(`links to headings that are not there:\n${[...missing].join('\n')}`);
}
