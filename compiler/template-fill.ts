import type { Span } from './source-text.ts';
import type { YamlNode } from './yaml-tree.ts';

/* Trees of parsed values: a template's, with the values of its parameters, and below a plan's. */

/** `$${`, which stands for `${`; or `${name}`, whose brace may be missing. */
const MARK = /\$\$\{|\$\{([^{}]*)(\}?)/g;

/** The parameters that a text of a template names, in its order. */
export function parametersIn(text: string): readonly { readonly name: string; readonly isClosed: boolean }[] {
  return [...text.matchAll(MARK)].flatMap(([, name, brace]) =>
    name === undefined ? [] : [{ name, isClosed: brace !== '' }],
  );
}

interface Filling {
  readonly values: ReadonlyMap<string, YamlNode>;
  /** What is added to the spans of the template. */
  readonly by: number;
  /** Receives the places of texts that lack a value. */
  readonly holes?: Span[];
}

/** A copy of a tree with the values of parameters in its texts. */
export function fill(node: YamlNode, filling: Filling): YamlNode {
  const span = moved(node.span, filling.by);
  switch (node.kind) {
    case 'list':
      return { kind: 'list', items: node.items.map((item) => fill(item, filling)), span };
    case 'mapping':
      return {
        kind: 'mapping',
        entries: node.entries.map(({ key, keySpan, value }) => ({
          key,
          keySpan: moved(keySpan, filling.by),
          value: fill(value, filling),
        })),
        span,
      };
    case 'scalar':
      return typeof node.value === 'string' && node.value.includes('${')
        ? fillText(node.value, span, filling)
        : { ...node, span };
  }
}

function fillText(text: string, span: Span, { values, by, holes }: Filling): YamlNode {
  const names = parametersIn(text).map(({ name }) => name);
  const [only] = names;
  const whole = only !== undefined && text === `\${${only}}` ? values.get(only) : undefined;
  if (whole?.kind === 'scalar') return { ...whole, parameters: names };
  if (names.some((name) => !values.has(name))) holes?.push(span);
  const value = text.replace(MARK, (mark, name: string | undefined) => {
    if (name === undefined) return '${';
    const filled = values.get(name);
    return filled?.kind === 'scalar' ? String(filled.value) : mark;
  });
  // What the plan gave is what its author can change. Only a text made of defaults alone is the template's.
  const given = names
    .map((name) => values.get(name))
    .find((node) => node !== undefined && node.span.start < by);
  return { kind: 'scalar', value, span: given?.span ?? span, verbatim: false, parameters: names };
}

/** A plan's values over those of its template. Mappings are merged key by key; anything else in the plan replaces what is below. */
export function merged(below: YamlNode, above: YamlNode): YamlNode {
  if (below.kind !== 'mapping' || above.kind !== 'mapping') return above;
  if (isReference(below) && isReference(above)) return above;
  const own = new Map(above.entries.map((entry) => [entry.key, entry]));
  const under = below.entries.map((entry) => {
    const over = own.get(entry.key);
    own.delete(entry.key);
    return over === undefined ? entry : { ...over, value: merged(entry.value, over.value) };
  });
  return { ...above, entries: [...under, ...own.values()] };
}

/** `{ env: NAME }` and `{ file: PATH }` are values of their own: merged, they would be both at once. */
function isReference(node: YamlNode): boolean {
  if (node.kind !== 'mapping') return false;
  const [only, ...others] = node.entries;
  return others.length === 0 && (only?.key === 'env' || only?.key === 'file');
}

export function moved({ start, end }: Span, by: number): Span {
  return { start: start + by, end: end + by };
}

export function isWithin(inner: Span, outer: Span): boolean {
  return inner.start >= outer.start && inner.end <= outer.end;
}
