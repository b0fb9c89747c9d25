import { pageLinks, requireAnchors } from '../links.mjs';
import { navigation } from '../navigation.mjs';
import { NOT_PAGES, REWRITES, ROOT } from '../pages.mjs';
import { pictures } from '../pictures.mjs';
import { slugOf } from '../slug.mjs';

/** Pages stand outside of this package, where Node finds no Vue: what they import of it is looked for from here. */
const vueForPages = {
  name: 'vue-for-pages',
  enforce: 'pre',
  resolveId(id, importer) {
    if (!/^vue(\/|$)/.test(id) || !importer?.endsWith('.md')) return null;
    return this.resolve(id, import.meta.filename, { skipSelf: true });
  },
};

/** The pages of the checkout as they are, as a site. A link that leads nowhere, in or out of a page, fails the build. */
export default {
  title: 'Holdfast',
  description: 'Backup and restore for YugabyteDB and PostgreSQL, as plans in Git',
  base: process.env.HOLDFAST_SITE_BASE ?? '/',
  srcDir: ROOT,
  srcExclude: NOT_PAGES,
  rewrites: REWRITES,
  outDir: './dist',
  cacheDir: './.vitepress/cache',
  head: [['style', {}, '.picture svg { max-width: 100%; height: auto; }']],
  markdown: {
    anchor: { slugify: slugOf },
    config(markdown) {
      pageLinks(markdown);
      pictures(markdown);
    },
  },
  themeConfig: {
    search: { provider: 'local' },
    outline: { level: [2, 3] },
    nav: [
      { text: 'Tutorial', link: '/docs/tutorial' },
      { text: 'Concepts', link: '/docs/concepts' },
      { text: 'The worst hour', link: '/docs/operations' },
      { text: 'Errors', link: '/docs/errors' },
      { text: 'FAQ', link: '/docs/faq' },
    ],
    sidebar: navigation(),
  },
  vite: { plugins: [vueForPages] },
  buildEnd: ({ outDir }) => requireAnchors(outDir),
};
