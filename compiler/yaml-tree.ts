import type { Span } from './source-text.ts';

/** A parsed YAML value and its place in the file. Aliases are followed. */
export type YamlNode = YamlScalar | YamlList | YamlMapping;

interface YamlScalar {
  readonly kind: 'scalar';
  readonly value: string | number | bigint | boolean | null;
  readonly span: Span;
  /** True when `span` covers exactly the characters of `value`, so that a part of it can be underlined. */
  readonly verbatim: boolean;
  /** Parameters of a template that the value was made from. Absent: it stands in a file as it is. */
  readonly parameters?: readonly string[];
}

interface YamlList {
  readonly kind: 'list';
  readonly items: readonly YamlNode[];
  readonly span: Span;
}

export interface YamlEntry {
  readonly key: string;
  readonly keySpan: Span;
  readonly value: YamlNode;
}

interface YamlMapping {
  readonly kind: 'mapping';
  /** Each key once, in the order of the file. */
  readonly entries: readonly YamlEntry[];
  readonly span: Span;
}

/** One document of a file. */
export interface YamlDocument {
  readonly file: string;
  readonly root: YamlNode;
  /** True when errors of syntax make everything in it unreliable except names. */
  readonly damaged: boolean;
}

export type YamlPath = readonly (string | number)[];

/** Plain JSON-like data, for validation. */
export function plainData(node: YamlNode): unknown {
  switch (node.kind) {
    case 'scalar':
      return node.value;
    case 'list':
      return node.items.map(plainData);
    case 'mapping':
      return Object.fromEntries(node.entries.map((entry) => [entry.key, plainData(entry.value)]));
  }
}

/** The entry of a mapping under a key. Undefined where the node isn't a mapping or lacks the key. */
export function entryOf(node: YamlNode | undefined, key: string): YamlEntry | undefined {
  return node?.kind === 'mapping' ? node.entries.find((entry) => entry.key === key) : undefined;
}

/** The value under a path of mapping keys. */
export function valueAt(node: YamlNode | undefined, ...keys: readonly string[]): YamlNode | undefined {
  return keys.reduce<YamlNode | undefined>((at, key) => entryOf(at, key)?.value, node);
}

/** Text of a scalar; undefined for anything else. */
export function textOf(node: YamlNode | undefined): string | undefined {
  return node?.kind === 'scalar' && typeof node.value === 'string' ? node.value : undefined;
}

/** Follows a path as deep as the tree goes. `keySpan` is that of the last step on the way. */
export function locate(
  root: YamlNode,
  path: YamlPath,
): { readonly node: YamlNode; readonly keySpan?: Span; readonly depth: number } {
  let node = root;
  let keySpan: Span | undefined;
  let depth = 0;
  for (const part of path) {
    if (node.kind === 'mapping') {
      const entry = entryOf(node, String(part));
      if (entry === undefined) break;
      node = entry.value;
      keySpan = entry.keySpan;
    } else if (node.kind === 'list') {
      const item = node.items[Number(part)];
      if (item === undefined) break;
      node = item;
      keySpan = undefined;
    } else break;
    depth += 1;
  }
  return keySpan === undefined ? { node, depth } : { node, keySpan, depth };
}

/** A path in words: `spec.steps[2].upload`. */
export function pathInWords(path: YamlPath): string {
  return path
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : index === 0 ? part : `.${part}`))
    .join('');
}

/** What to underline for a mapping or list: its first key, not all its lines. */
export function spanOfNode(node: YamlNode): Span {
  if (node.kind === 'mapping') return node.entries[0]?.keySpan ?? node.span;
  if (node.kind === 'list' && node.items[0] !== undefined) return spanOfNode(node.items[0]);
  return node.span;
}
