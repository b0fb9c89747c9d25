import { permanent } from '../../../model/errors.ts';
import { quoteIdentifier } from './identifiers.ts';

/*
 * Parses just enough of SQL's lexical structure to cut a script into statements and to find the names in them: strings, quoted
 * names, dollar quotes, comments, and the bodies of SQL-standard functions, as psql does (psqlscan.l).
 */

/** The error code for every script whose structure is not known for certain. */
export const DUMP_UNREADABLE = 'DUMP_UNREADABLE';

/** One token of a script, with its offsets. */
export interface Token {
  /** `word` is an unquoted identifier or keyword; `name` is a quoted identifier; `string` any literal. */
  readonly kind: 'word' | 'name' | 'string' | 'symbol' | 'comment';
  readonly start: number;
  readonly end: number;
  /** Word in lower case; name without quotes; else the raw text. */
  readonly text: string;
}

/** A range of a script (offsets) and the text to replace it with. */
export interface Repair {
  readonly start: number;
  readonly end: number;
  readonly with: string;
}

/** One statement of a script. */
export interface Statement {
  /** Offsets in the script, without the semicolon and without comments before it. */
  readonly start: number;
  readonly end: number;
  /** The text with its semicolon and with `repairs` applied: valid for a session with `standard_conforming_strings` on. */
  readonly text: string;
  /** Without comments. */
  readonly tokens: readonly Token[];
  /** What ended the statement: its semicolon, a psql command (`… \gset`), or the end of the script. */
  readonly endedBy: 'semicolon' | 'command' | 'end';
  /**
   * Replacements that quote the names which the dump program should have quoted. Where the script turns `standard_conforming_strings` off, also
   * those that keep the meaning of its strings with the setting on.
   */
  readonly repairs: readonly Repair[];
}

/** A part of a script: a statement, a comment between statements, or a psql command (`\connect …`). */
export type ScriptPart =
  | { readonly kind: 'statement'; readonly statement: Statement }
  | { readonly kind: 'comment'; readonly start: number; readonly end: number; readonly text: string }
  | { readonly kind: 'command'; readonly start: number; readonly end: number; readonly text: string };

/**
 * Yields the parts of a script in order. No part is empty, so the walk always ends. Throws `DUMP_UNREADABLE` (permanent) when a
 * string, a quoted name, a dollar quote or a comment never ends.
 */
export function* scriptParts(script: string): Generator<ScriptPart> {
  const tablegroups = new TablegroupNames();
  let conforming = true;
  let at = 0;
  for (;;) {
    at = skipSpace(script, at);
    if (at >= script.length) return;
    if (script[at] === '\\') {
      const end = endOfCommand(script, at);
      yield { kind: 'command', start: at, end, text: script.slice(at, end) };
      at = end;
      continue;
    }
    const token = nextToken(script, at, conforming);
    if (token.kind === 'comment') {
      tablegroups.readHeader(token.text);
      yield { kind: 'comment', start: token.start, end: token.end, text: token.text };
      at = token.end;
      continue;
    }
    const statement = readStatement(script, at, tablegroups, conforming);
    if (statement.tokens.length > 0) yield { kind: 'statement', statement };
    conforming = conformingStrings(statement.tokens)?.on ?? conforming;
    at = statement.endedBy === 'semicolon' ? statement.end + 1 : statement.end;
  }
}

function readStatement(
  script: string,
  start: number,
  tablegroups: TablegroupNames,
  conforming: boolean,
): Statement {
  const tokens: Token[] = [];
  const repairs: Repair[] = [];
  let at = start;
  let parentheses = 0;
  let blocks = 0;
  const ended = (endedBy: Statement['endedBy'], end: number): Statement => {
    if (endedBy === 'semicolon') tablegroups.readStatement(tokens);
    const setting = conformingStrings(tokens);
    if (setting?.on === false) {
      repairs.push({ start: setting.value.start, end: setting.value.end, with: 'on' });
    }
    return { start, end, text: `${repaired(script, start, end, repairs)};`, tokens, endedBy, repairs };
  };
  for (;;) {
    at = skipSpace(script, at);
    if (at >= script.length) return ended('end', script.length);
    const bare = bareName(script, tokens, parentheses, tablegroups);
    if (bare !== undefined) {
      tokens.push(bare);
      repairs.push({ start: bare.start, end: bare.end, with: quoteIdentifier(bare.text) });
      at = bare.end;
      continue;
    }
    const token = nextToken(script, at, conforming);
    if (token.kind === 'symbol' && token.text === '\\') return ended('command', token.start);
    at = token.end;
    if (token.kind === 'comment') continue;
    if (token.kind === 'symbol') {
      if (token.text === '(') parentheses += 1;
      if (token.text === ')') parentheses -= 1;
      if (token.text === ';' && parentheses <= 0 && blocks === 0) return ended('semicolon', token.start);
    }
    if (!conforming && token.kind === 'string' && script[token.start] === "'" && token.text.includes('\\')) {
      // Directly after a word, the `E` would become part of the word.
      const prefix = /[\w$\u0080-\uffff]/.test(script.charAt(token.start - 1)) ? ' E' : 'E';
      repairs.push({ start: token.start, end: token.start, with: prefix });
      tokens.push({ ...token, text: `E${token.text}` });
      continue;
    }
    tokens.push(token);
    if (token.kind === 'word' && definesRoutine(tokens)) blocks += blockChange(tokens, blocks, parentheses);
  }
}

/**
 * Returns the value that `SET standard_conforming_strings = on | off` sets, and its place; undefined for any other statement. The dump
 * programs write this statement into a script's header and write all literals accordingly: with `off` a backslash is an escape in every
 * string.
 */
function conformingStrings(
  tokens: readonly Token[],
): { readonly on: boolean; readonly value: Token } | undefined {
  const [set, name, , value, ...more] = tokens;
  if (set?.text !== 'set' || name?.text !== 'standard_conforming_strings') return undefined;
  if (value === undefined || more.length > 0) return undefined;
  return { on: !/^'?(?:off|false|no|0)'?$/i.test(value.text), value };
}

function repaired(script: string, start: number, end: number, repairs: readonly Repair[]): string {
  const shifted = repairs.map((repair) => ({
    ...repair,
    start: repair.start - start,
    end: repair.end - start,
  }));
  return withRepairs(script.slice(start, end), shifted);
}

/** Applies `repairs` to a script. They must be in order and must not overlap. */
export function withRepairs(script: string, repairs: readonly Repair[]): string {
  const pieces: string[] = [];
  let at = 0;
  for (const repair of repairs) {
    pieces.push(script.slice(at, repair.start), repair.with);
    at = repair.end;
  }
  return pieces.join('') + script.slice(at);
}

/**
 * Finds a name that the dump program wrote without the quotes it needs, and returns it as a token. ysql_dump leaves out the quotes of
 * the name after `USING INDEX` in builds before January 2026 (yugabyte-db issue 29838), and those of a tablegroup's name in all
 * builds (issue 33417). Such a name may hold any text, even a psql command, so it is recognised by its context: the constraint has
 * the same name as its index.
 */
function bareName(
  script: string,
  tokens: readonly Token[],
  parentheses: number,
  tablegroups: TablegroupNames,
): Token | undefined {
  const before = tokens.at(-1);
  if (before?.kind !== 'word' || parentheses > 0) return undefined;
  // The name follows after one space; it may itself begin with a space.
  const at = before.end + 1;
  const candidates =
    before.text === 'index'
      ? nameOfConstraint(tokens)
      : before.text === 'tablegroup'
        ? tablegroups.candidates(tokens, script, at)
        : [];
  for (const name of candidates) {
    if (script.startsWith(quoteIdentifier(name), at)) return undefined;
    const end = at + name.length;
    if (script.startsWith(name, at) && /^(?:[\s;]|$)/.test(script.slice(end, end + 1))) {
      return { kind: 'name', start: at, end, text: name };
    }
  }
  return undefined;
}

/** Returns the constraint's name in `ALTER TABLE [ONLY] … ADD CONSTRAINT name UNIQUE | PRIMARY KEY USING INDEX`. */
function nameOfConstraint(tokens: readonly Token[]): readonly string[] {
  const isAddition = tokens[0]?.text === 'alter' && tokens[1]?.text === 'table' && tokens.length <= 14;
  if (!isAddition || tokens.at(-2)?.text !== 'using') return [];
  const constraint = tokens.findLastIndex(({ kind, text }) => kind === 'word' && text === 'constraint');
  if (tokens[constraint - 1]?.text !== 'add') return [];
  const name = tokens[constraint + 1];
  return name === undefined || name.text === '' ? [] : [name.text];
}

const TABLEGROUP_HEADER = /^-- Name: (?<name>.*); Type: TABLEGROUP; Schema: -; Owner: /s;

/** Collects the names of a script's tablegroups, so that they are recognised without quotes. */
class TablegroupNames {
  /** The name in the header before `CREATE TABLEGROUP`, with spaces in place of line breaks. */
  #announced: string | undefined;
  readonly #created = new Set<string>();

  readHeader(comment: string): void {
    const name = TABLEGROUP_HEADER.exec(comment)?.groups?.name;
    if (name !== undefined) this.#announced = name;
  }

  readStatement(tokens: readonly Token[]): void {
    const [create, tablegroup, name] = tokens;
    if (create?.text === 'create' && tablegroup?.text === 'tablegroup' && name !== undefined) {
      this.#created.add(name.text);
    }
  }

  /** Names that may stand at `at`, the longest first. */
  candidates(tokens: readonly Token[], script: string, at: number): readonly string[] {
    const [create] = tokens;
    if (create?.text !== 'create') return [];
    if (tokens.length > 2) return [...this.#created].sort((one, other) => other.length - one.length);
    const announced = this.#announced;
    if (announced === undefined) return [];
    const written = script.slice(at, at + announced.length);
    return written.replaceAll(/[\r\n]/g, ' ') === announced ? [written] : [];
  }
}

/** True for `CREATE [OR REPLACE] FUNCTION | PROCEDURE`, whose body may be `BEGIN ATOMIC …; …; END`. */
function definesRoutine(tokens: readonly Token[]): boolean {
  if (tokens[0]?.text !== 'create') return false;
  const kind = tokens[1]?.text === 'or' ? tokens[3]?.text : tokens[1]?.text;
  return kind === 'function' || kind === 'procedure';
}

/**
 * How the last token changes the nesting of blocks. A body begins with BEGIN ATOMIC outside of parentheses (an argument or a
 * function may be called `begin`), and ends with the END that doesn't close a CASE.
 */
function blockChange(tokens: readonly Token[], depth: number, parentheses: number): number {
  const word = tokens.at(-1)?.text;
  if (depth === 0) return word === 'atomic' && tokens.at(-2)?.text === 'begin' && parentheses === 0 ? 1 : 0;
  if (word === 'case') return 1;
  return word === 'end' ? -1 : 0;
}

const SPACE = /[ \t\n\r\f\v]*/y;
/** As in PostgreSQL's own scanner, every character beyond ASCII can be part of an identifier. */
const WORD = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
const DOLLAR_TAG = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
const NUMBER = /\d[\d.]*/y;

/**
 * The token at `at`, which must not be white space.
 *
 * @param conforming `standard_conforming_strings`: false where a backslash escapes in a string without `E` too
 */
function nextToken(script: string, at: number, conforming: boolean): Token {
  const character = script[at];
  const token = (kind: Token['kind'], end: number, text = script.slice(at, end)): Token => ({
    kind,
    start: at,
    end,
    text,
  });
  if (script.startsWith('--', at)) return token('comment', endOfLine(script, at));
  if (script.startsWith('/*', at)) return token('comment', endOfBlockComment(script, at));
  if (character === "'") {
    return token('string', conforming ? endOfQuoted(script, at, "'") : endOfEscapeString(script, at));
  }
  if (character === '"') {
    const end = endOfQuoted(script, at, '"');
    return token('name', end, script.slice(at + 1, end - 1).replaceAll('""', '"'));
  }
  if ((character === 'E' || character === 'e') && script[at + 1] === "'") {
    return token('string', endOfEscapeString(script, at + 1));
  }
  const tag = matchAt(DOLLAR_TAG, script, at);
  if (tag !== undefined) {
    const close = script.indexOf(tag, at + tag.length);
    if (close < 0) throw endless(script, at, `what begins with ${tag}`);
    return token('string', close + tag.length);
  }
  const word = matchAt(WORD, script, at);
  if (word !== undefined) return token('word', at + word.length, word.toLowerCase());
  const number = matchAt(NUMBER, script, at);
  return token('symbol', at + (number?.length ?? 1));
}

function matchAt(pattern: RegExp, script: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(script)?.[0];
}

function skipSpace(script: string, at: number): number {
  SPACE.lastIndex = at;
  SPACE.test(script);
  return SPACE.lastIndex;
}

function endOfLine(script: string, at: number): number {
  const end = script.indexOf('\n', at);
  return end < 0 ? script.length : end;
}

/**
 * Finds the end of a psql command, which is the end of its line. Exception: ysql_dump reports a missing role with `\echo` and
 * lets line breaks of the role's name break the line (yugabyte-db issue 33665), so the whole quoted name belongs to the command.
 */
function endOfCommand(script: string, at: number): number {
  if (!script.startsWith('\\echo ', at)) return endOfLine(script, at);
  let end = at;
  while (end < script.length && script[end] !== '\n') {
    end = script[end] === '"' ? endOfQuoted(script, end, '"') : end + 1;
  }
  return end;
}

function endOfQuoted(script: string, at: number, quote: string): number {
  let end = at + 1;
  for (;;) {
    end = script.indexOf(quote, end);
    if (end < 0) throw endless(script, at, quote === '"' ? 'the quoted name' : 'the string');
    if (script[end + 1] !== quote) return end + 1;
    end += 2;
  }
}

function endOfEscapeString(script: string, at: number): number {
  let end = at + 1;
  while (end < script.length) {
    if (script[end] === '\\') end += 2;
    else if (script[end] !== "'") end += 1;
    else if (script[end + 1] === "'") end += 2;
    else return end + 1;
  }
  throw endless(script, at, 'the string');
}

const COMMENT_EDGE = /\/\*|\*\//g;

function endOfBlockComment(script: string, at: number): number {
  let depth = 0;
  COMMENT_EDGE.lastIndex = at;
  for (let edge = COMMENT_EDGE.exec(script); edge !== null; edge = COMMENT_EDGE.exec(script)) {
    depth += edge[0] === '/*' ? 1 : -1;
    if (depth === 0) return edge.index + 2;
  }
  throw endless(script, at, 'the comment');
}

const SHOWN = 60;

function endless(script: string, at: number, what: string): Error {
  return unreadable(script, at, `${what} never ends: ${JSON.stringify(script.slice(at, at + SHOWN))}`);
}

/** The error that refuses a script because of its text at offset `at`. */
export function unreadable(script: string, at: number, problem: string): Error {
  const line = script.slice(0, at).split('\n').length;
  return permanent(
    DUMP_UNREADABLE,
    `The dump can't be read safely. In line ${line} ${problem}`,
    'Find the object that the line names. Rename it where its name holds quotes, line breaks or backslashes, and back up again; else the script is damaged: restore another backup.',
  );
}
