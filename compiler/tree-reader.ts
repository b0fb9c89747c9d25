import { isAlias, isMap, isScalar, isSeq, type ParsedNode } from 'yaml';
import { type LocatedProblem, type Problem, quoted, refused } from './diagnostic.ts';
import type { Span } from './source-text.ts';
import type { YamlEntry, YamlNode } from './yaml-tree.ts';

/** Most anchors within anchors that an alias may lead to. */
const MAXIMUM_DEPTH = 64;
/** Most values in a file after aliases are followed. Otherwise a few nested aliases could stand for billions. */
export const MAXIMUM_EXPANDED_VALUES = 50_000;

/** Turns composed nodes of one document into a tree, following aliases within a budget. */
export class TreeReader {
  readonly problems: LocatedProblem[] = [];
  damaged = false;
  readonly #text: string;
  readonly #budget: { values: number };
  readonly #anchors = new Map<string, ParsedNode>();
  /** Anchors whose value is being read. An alias to one of them would refer to itself without end. */
  readonly #open = new Set<string>();
  #exhausted = false;

  constructor(text: string, budget: { values: number }) {
    this.#text = text;
    this.#budget = budget;
  }

  read(node: ParsedNode | null): YamlNode {
    const span = node === null ? { start: 0, end: 0 } : { start: node.range[0], end: node.range[1] };
    if (node === null || !this.#spend(span)) return { kind: 'scalar', value: null, span, verbatim: false };
    if (isAlias(node)) return this.#follow(node.source, span);
    const anchor = node.anchor;
    if (anchor === undefined) return this.#readValue(node, span);
    this.#anchors.set(anchor, node);
    this.#open.add(anchor);
    const read = this.#readValue(node, span);
    this.#open.delete(anchor);
    return read;
  }

  #readValue(node: ParsedNode, span: Span): YamlNode {
    if (isMap(node)) {
      return { kind: 'mapping', entries: this.#entries(node.items), span };
    }
    if (isSeq(node)) {
      return { kind: 'list', items: node.items.map((item) => this.read(item)), span };
    }
    if (isScalar(node)) {
      const { value } = node;
      const known =
        typeof value === 'string' ||
        typeof value === 'number' ||
        typeof value === 'bigint' ||
        typeof value === 'boolean' ||
        value === null;
      if (typeof value !== 'string') {
        return { kind: 'scalar', value: known ? value : String(value), span, verbatim: false };
      }
      return this.#readText(value, span);
    }
    return { kind: 'scalar', value: null, span, verbatim: false };
  }

  /** Within quotes, the text starts one character later. If escapes change the text, no part of it can be underlined. */
  #readText(value: string, span: Span): YamlNode {
    const written = this.#text.slice(span.start, span.end);
    if (written === value) return { kind: 'scalar', value, span, verbatim: true };
    const unquoted = { start: span.start + 1, end: span.end - 1 };
    if (/^["']/.test(written) && this.#text.slice(unquoted.start, unquoted.end) === value) {
      return { kind: 'scalar', value, span: unquoted, verbatim: true };
    }
    return { kind: 'scalar', value, span, verbatim: false };
  }

  #entries(
    pairs: readonly { readonly key: ParsedNode; readonly value: ParsedNode | null }[],
  ): readonly YamlEntry[] {
    const entries = new Map<string, YamlEntry>();
    for (const pair of pairs) {
      const keyNode = this.read(pair.key);
      const key = keyNode.kind === 'scalar' ? String(keyNode.value) : undefined;
      const read = this.read(pair.value);
      const value =
        pair.value === null ? { ...read, span: { start: keyNode.span.end, end: keyNode.span.end } } : read;
      if (key === undefined) {
        this.#report(keyNode.span, 'WRONG_TYPE', 'A key must be text', 'Write `key: value`.');
      } else if (entries.has(key)) {
        this.#report(
          keyNode.span,
          'DUPLICATE_KEY',
          `The key ${quoted(key)} stands twice in this mapping`,
          'Keep one of them.',
        );
      } else {
        entries.set(key, { key, keySpan: keyNode.span, value });
      }
    }
    return [...entries.values()];
  }

  #follow(name: string, span: Span): YamlNode {
    const target = this.#anchors.get(name);
    const nothing: YamlNode = { kind: 'scalar', value: null, span, verbatim: false };
    if (target === undefined) {
      this.#report(
        span,
        'BAD_ALIAS',
        `No anchor ${quoted(`&${name}`)} stands above this alias`,
        `Put text that starts with \`*\` in double quotes; or write \`&${name}\` before the value that is meant.`,
      );
      this.damaged = true;
      return nothing;
    }
    if (this.#open.has(name) || this.#open.size > MAXIMUM_DEPTH) {
      this.#report(
        span,
        'ALIAS_BOMB',
        this.#open.has(name)
          ? `The alias ${quoted(`*${name}`)} stands inside the value that it stands for`
          : `More than ${MAXIMUM_DEPTH} anchors lie one within the other behind this alias`,
        'Write the value out.',
      );
      this.damaged = true;
      return nothing;
    }
    this.#open.add(name);
    const read = this.#readValue(target, { start: target.range[0], end: target.range[1] });
    this.#open.delete(name);
    return read;
  }

  #spend(span: Span): boolean {
    if (this.#budget.values > 0) {
      this.#budget.values -= 1;
      return true;
    }
    if (!this.#exhausted) {
      this.#exhausted = true;
      this.damaged = true;
      this.#report(
        span,
        'ALIAS_BOMB',
        `Its aliases make this file stand for more than ${MAXIMUM_EXPANDED_VALUES} values`,
        'Write the values out, without nested anchors and aliases.',
      );
    }
    return false;
  }

  #report(span: Span, code: Problem['code'], message: string, remedy: string): void {
    this.problems.push({ ...refused(code, message, remedy), span });
  }
}
