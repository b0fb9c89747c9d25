import { renderMermaidSVG } from 'beautiful-mermaid';

/** The site's own colors, so that a picture goes dark with its page. */
const COLORS = {
  bg: 'var(--vp-c-bg)',
  fg: 'var(--vp-c-text-1)',
  accent: 'var(--vp-c-brand-1)',
  transparent: true,
};

/**
 * Draws blocks fenced as `mermaid` while the site is built: pages carry pictures and no program that draws them.
 *
 * @param {import('markdown-it').default} markdown
 * @throws {Error} for a picture that can't be drawn
 */
export function pictures(markdown) {
  const { fence } = markdown.renderer.rules;
  markdown.renderer.rules.fence = (tokens, index, options, env, self) => {
    const { info, content } = tokens[index];
    if (info.trim() !== 'mermaid') return fence(tokens, index, options, env, self);
    const svg = withoutForeignFonts(renderMermaidSVG(content, COLORS));
    // As a value, since Vue takes `<style>`, which the picture has, out of a template.
    return `<div class="picture" v-html="${markdown.utils.escapeHtml(JSON.stringify(svg))}"></div>\n`;
  };
}

/** A picture would have the reader's browser fetch a font from elsewhere. @param {string} svg */
function withoutForeignFonts(svg) {
  return svg.replaceAll(/@import url\([^)]*\);?/g, '');
}
