import {
  Composer,
  type CST,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type ParsedNode,
  Parser,
  type YAMLError,
} from 'yaml';
import { type LocatedProblem, type Problem, quoted, refused } from './diagnostic.ts';
import type { SourceFile, Span } from './sourceText.ts';
import type { YamlDocument, YamlEntry, YamlNode } from './yamlTree.ts';

/** Larger files are refused unread: a plan is written by people, and a megabyte of one is a mistake. */
export const MAXIMUM_FILE_BYTES = 1024 * 1024;
const MAXIMUM_DEPTH = 64;
/** Values in a file, before aliases are followed: bounds the work whatever the text. */
const MAXIMUM_VALUES = 20_000;
/** Values in a file, after aliases are followed: a few nested aliases can otherwise stand for billions. */
const MAXIMUM_EXPANDED_VALUES = 50_000;

export interface ParsedFile {
  readonly documents: readonly YamlDocument[];
  readonly problems: readonly LocatedProblem[];
}

/** Text to trees of values with their places. Never throws, and bounded in time and memory whatever the text. */
export function parse(file: SourceFile): ParsedFile {
  if (file.text.length > MAXIMUM_FILE_BYTES) return failure(fileTooLarge(file.text.length));
  const tokens = [...new Parser().parse(file.text)];
  const excess = tooComplex(tokens);
  if (excess !== undefined) return failure(excess.problem, excess.span);

  // `uniqueKeys: false`: the library compares every key with every other; duplicates are found below in one pass.
  const composer = new Composer<ParsedNode>({ uniqueKeys: false, stringKeys: true, logLevel: 'silent' });
  const documents: YamlDocument[] = [];
  const problems: LocatedProblem[] = [];
  const budget = { values: MAXIMUM_EXPANDED_VALUES };
  for (const document of composer.compose(tokens)) {
    const faults = [...document.errors, ...document.warnings].map(syntaxProblem);
    problems.push(...firstOfEachLine(faults, file.text));
    const damaged = faults.some((fault) => fault.problem.code !== 'BAD_TAG');
    if (document.contents === null) continue;
    const reader = new TreeReader(file.text, budget);
    const root = reader.read(document.contents);
    problems.push(...reader.problems);
    if (isEmpty(root)) continue;
    documents.push({ file: file.path, root, damaged: damaged || reader.damaged });
  }
  if (documents.length === 0 && problems.length === 0) {
    return failure({
      code: 'FILE_EMPTY',
      message: 'The file holds no document',
      remedy: 'Write a `kind: BackupPlan` document into it; `holdfast init` makes one.',
    });
  }
  return { documents, problems };
}

/** The problem of a file that is larger than a plan may be. */
export function fileTooLarge(sizeBytes: number): Problem {
  return {
    code: 'FILE_TOO_LARGE',
    message: `The file has ${(sizeBytes / 1024 / 1024).toFixed(1)} MiB, and a plan file may have 1 MiB`,
    remedy: 'Check that this is a plan file; split it by plan if it is.',
  };
}

function failure(problem: Problem, span: Span = { start: 0, end: 0 }): ParsedFile {
  return { documents: [], problems: [{ problem, span }] };
}

function isEmpty(node: YamlNode): boolean {
  return node.kind === 'scalar' && node.value === null;
}

/** Depth and number of values by the tokens alone, without recursion: composing a tree is recursive, so it comes after. */
function tooComplex(tokens: readonly CST.Token[]): LocatedProblem | undefined {
  const open: { readonly token: CST.Token; readonly depth: number }[] = tokens.map((token) => ({
    token,
    depth: 0,
  }));
  let values = open.length;
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { token, depth } = next;
    const items = itemsOf(token);
    // Commas between nothing are counted too: each is an error to be found.
    values += items.reduce((sum, { start }) => sum + 2 + start.filter(isComma).length, 0);
    const span = { start: token.offset, end: token.offset + 1 };
    if (values > MAXIMUM_VALUES) return { ...TOO_MANY_VALUES, span };
    if (depth > MAXIMUM_DEPTH) return { ...TOO_DEEP, span };
    if (token.type === 'document' && token.value !== undefined) open.push({ token: token.value, depth });
    for (const { key, value } of items) {
      if (key) open.push({ token: key, depth: depth + 1 });
      if (value) open.push({ token: value, depth: depth + 1 });
    }
  }
  return undefined;
}

function itemsOf(token: CST.Token): readonly CST.CollectionItem[] {
  const isCollection =
    token.type === 'block-map' || token.type === 'block-seq' || token.type === 'flow-collection';
  return isCollection ? token.items : [];
}

function isComma({ type }: CST.SourceToken): boolean {
  return type === 'comma';
}

const TOO_MANY_VALUES = refused(
  'TOO_COMPLEX',
  `The file holds more than ${MAXIMUM_VALUES} values`,
  'Split it into several files.',
);

const TOO_DEEP = refused(
  'TOO_COMPLEX',
  `Values are nested more than ${MAXIMUM_DEPTH} levels deep`,
  'No plan needs more than ten levels: look for brackets that were never closed.',
);

const SYNTAX_REMEDIES: Partial<Record<YAMLError['code'], string>> = {
  BAD_DQ_ESCAPE: 'Write the backslash twice, or use single quotes, in which it has no meaning.',
  BAD_INDENT: 'Indent it by the same number of spaces as its neighbours.',
  BAD_SCALAR_START: 'Put the text in double quotes.',
  BLOCK_AS_IMPLICIT_KEY:
    'Put the text in double quotes, or start the nested mapping on a line of its own, indented.',
  BLOCK_IN_FLOW: 'Inside `{ }` and `[ ]` write values on one line, separated by commas.',
  MISSING_CHAR: 'Close the quote, bracket or brace, or add the missing `:` or `,`.',
  MULTILINE_IMPLICIT_KEY: 'Write `key: value` on one line; if this is no key, indent it under the one above.',
  UNEXPECTED_TOKEN: 'Remove it, or put the whole text in double quotes.',
};

function syntaxProblem(error: YAMLError): LocatedProblem {
  const span = { start: error.pos[0], end: Math.max(error.pos[1], error.pos[0] + 1) };
  if (error.code === 'TAB_AS_INDENT' || (error.code === 'BAD_SCALAR_START' && /tab/i.test(error.message))) {
    return {
      ...refused(
        'TAB_INDENT',
        'A tab indents this line, and YAML allows only spaces there',
        'Write spaces instead.',
      ),
      span,
    };
  }
  if (error.code === 'TAG_RESOLVE_FAILED') {
    return {
      ...refused('BAD_TAG', 'Tags (`!…`) are not part of the plan language', 'Remove the tag.'),
      span,
    };
  }
  const [firstSentence = error.message] = error.message.split('\n');
  return {
    ...refused(
      'NOT_YAML',
      `This is not YAML: ${firstSentence.charAt(0).toLowerCase()}${firstSentence.slice(1)}`,
      SYNTAX_REMEDIES[error.code] ??
        'Compare with the examples in plans/; an editor with YAML support shows it.',
    ),
    span,
  };
}

/** One fault often raises several errors of syntax on its line; the first says it best. */
function firstOfEachLine(faults: readonly LocatedProblem[], text: string): readonly LocatedProblem[] {
  let lastEnd = -1;
  const kept: LocatedProblem[] = [];
  for (const fault of [...faults].sort((a, b) => a.span.start - b.span.start)) {
    if (fault.span.start <= lastEnd) continue;
    kept.push(fault);
    const lineEnd = text.indexOf('\n', fault.span.start);
    lastEnd = lineEnd === -1 ? text.length : lineEnd;
  }
  return kept;
}

/** Turns composed nodes of one document into a tree, following aliases within a budget. */
class TreeReader {
  readonly problems: LocatedProblem[] = [];
  damaged = false;
  readonly #text: string;
  readonly #budget: { values: number };
  readonly #anchors = new Map<string, ParsedNode>();
  /** Anchors whose value is being read: an alias to one of them would never end. */
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

  /** Inside quotes the text starts one character later; where escapes change it, parts of it can't be pointed at. */
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
