import { type Diagnostic, withoutControls } from './diagnostic.ts';
import { masked } from './secrets.ts';
import { LineIndex, type SourceFile, type Span } from './source-text.ts';

/** Longer source lines are cut to a window around the error. */
const LINE_WIDTH = 110;

interface RenderOptions {
  readonly color: boolean;
}

/**
 * Diagnostics for people: `file:line:column`, what is wrong, the source line with the wrong text underlined, and what to write.
 * Secrets in the lines are hidden. Ends with a line break; empty if there are no diagnostics.
 */
export function renderDiagnostics(
  diagnostics: readonly Diagnostic[],
  sources: readonly SourceFile[],
  { color }: RenderOptions,
): string {
  const paint = painter(color);
  const indexes = new Map(sources.map(({ path, text }) => [path, new LineIndex(text)]));
  return diagnostics
    .map((diagnostic) => {
      const { file, line, column, code, message, remedy } = diagnostic;
      const head = `${paint('bold', `${printable(file)}:${line}:${column}`)} ${paint('red', 'error')} ${message} ${paint('dim', `[${code}]`)}`;
      const index = indexes.get(file);
      const excerpt =
        index === undefined ? [] : renderExcerpt(diagnostic, index.line(line), diagnostics, paint);
      const margin = ' '.repeat(String(line).length);
      return `${[head, ...excerpt, `${margin} ${paint('dim', '=')} ${remedy}`].join('\n')}\n`;
    })
    .join('\n');
}

function renderExcerpt(
  diagnostic: Diagnostic,
  text: string,
  all: readonly Diagnostic[],
  paint: Paint,
): readonly string[] {
  if (text === '') return [];
  const secrets = all
    .filter(
      ({ code, file, line }) =>
        code === 'SECRET_IN_PLAIN_TEXT' && file === diagnostic.file && line === diagnostic.line,
    )
    .map((secret) => underlined(secret, text));
  const span = underlined(diagnostic, text);
  const shown = window(printable(masked(text, secrets)), span);
  const number = String(diagnostic.line);
  const margin = ' '.repeat(number.length);
  const before = shown.text.slice(0, shown.span.start);
  const marked = shown.text.slice(shown.span.start, shown.span.end);
  const carets = '^'.repeat(Math.max(1, displayWidth(marked)));
  return [
    `${paint('dim', `${number} |`)} ${shown.text}`,
    `${paint('dim', `${margin} |`)} ${blank(before)}${paint('red', carets)}`,
  ];
}

/** The part of the diagnostic's first line to underline, as offsets into the line. */
function underlined({ line, column, endLine, endColumn }: Diagnostic, text: string): Span {
  const start = Math.min(column - 1, text.length);
  const end = endLine > line ? text.trimEnd().length : Math.min(endColumn - 1, text.length);
  return { start, end: Math.max(start, end) };
}

function window(text: string, span: Span): { readonly text: string; readonly span: Span } {
  if (text.length <= LINE_WIDTH) return { text, span };
  const start = Math.max(0, Math.min(span.start - Math.floor(LINE_WIDTH / 3), text.length - LINE_WIDTH));
  const cut = text.slice(start, start + LINE_WIDTH);
  const ahead = start > 0 ? '\u2026' : '';
  const behind = start + LINE_WIDTH < text.length ? '\u2026' : '';
  const move = (at: number): number => Math.max(0, Math.min(at - start, cut.length)) + ahead.length;
  return { text: `${ahead}${cut}${behind}`, span: { start: move(span.start), end: move(span.end) } };
}

/** Tabs would shift the underline, so they become spaces. */
function printable(text: string): string {
  return withoutControls(text.replace(/\t/g, ' '));
}

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;

/** Width in columns of a terminal: East Asian characters and emoji take two columns, combining marks none. */
function displayWidth(text: string): number {
  return [...text].reduce((width, character) => {
    if (/\p{Mn}/u.test(character)) return width;
    return width + (WIDE.test(character) ? 2 : 1);
  }, 0);
}

function blank(text: string): string {
  return ' '.repeat(displayWidth(text));
}

type Style = 'bold' | 'red' | 'dim';
type Paint = (style: Style, text: string) => string;

const CODES: Readonly<Record<Style, readonly [number, number]>> = {
  bold: [1, 22],
  red: [31, 39],
  dim: [2, 22],
};

function painter(color: boolean): Paint {
  return (style, text) => {
    if (!color) return text;
    const [on, off] = CODES[style];
    return `\u001b[${on}m${text}\u001b[${off}m`;
  };
}
