/*
 * Just enough of SQL's lexical structure to cut a script into statements and to name what stands in them: strings, quoted names,
 * dollar quotes, comments, and the bodies of SQL-standard functions, as psql itself does it (psqlscan.l).
 */

export interface Token {
  /** `word` is an unquoted identifier or keyword; `name` is a quoted identifier; `string` any literal. */
  readonly kind: 'word' | 'name' | 'string' | 'symbol' | 'comment';
  readonly start: number;
  readonly end: number;
  /** Word in lower case; name without quotes; else the raw text. */
  readonly text: string;
}

export interface Statement {
  /** Offsets in the script, without the semicolon and without comments before it. */
  readonly start: number;
  readonly end: number;
  /** Text with its semicolon. */
  readonly text: string;
  /** Without comments. */
  readonly tokens: readonly Token[];
}

/** What a script consists of, in order: statements, comments that stand between them, and psql's own commands (`\connect …`). */
export type ScriptPart =
  | { readonly kind: 'statement'; readonly statement: Statement }
  | { readonly kind: 'comment'; readonly start: number; readonly end: number; readonly text: string }
  | { readonly kind: 'command'; readonly start: number; readonly end: number; readonly text: string };

/** Walks a script part by part. */
export function* scriptParts(script: string): Generator<ScriptPart> {
  let at = 0;
  for (;;) {
    at = skipSpace(script, at);
    if (at >= script.length) return;
    if (script[at] === '\\') {
      const end = endOfLine(script, at);
      yield { kind: 'command', start: at, end, text: script.slice(at, end) };
      at = end;
      continue;
    }
    const token = nextToken(script, at);
    if (token.kind === 'comment') {
      yield { kind: 'comment', start: token.start, end: token.end, text: token.text };
      at = token.end;
      continue;
    }
    const statement = readStatement(script, at);
    if (statement.tokens.length > 0) yield { kind: 'statement', statement };
    at = statement.end + 1;
  }
}

function readStatement(script: string, start: number): Statement {
  const tokens: Token[] = [];
  let at = start;
  let parentheses = 0;
  let blocks = 0;
  for (;;) {
    at = skipSpace(script, at);
    if (at >= script.length) break;
    const token = nextToken(script, at);
    at = token.end;
    if (token.kind === 'comment') continue;
    if (token.kind === 'symbol') {
      if (token.text === '(') parentheses += 1;
      if (token.text === ')') parentheses -= 1;
      if (token.text === ';' && parentheses <= 0 && blocks === 0) {
        return statementOf(script, start, token.start, tokens);
      }
    }
    tokens.push(token);
    if (token.kind === 'word' && definesRoutine(tokens)) blocks += blockChange(token.text, blocks);
  }
  return statementOf(script, start, script.length, tokens);
}

function statementOf(script: string, start: number, end: number, tokens: readonly Token[]): Statement {
  return { start, end, text: `${script.slice(start, end)};`, tokens };
}

/** `CREATE [OR REPLACE] FUNCTION | PROCEDURE`, whose body may be `BEGIN ATOMIC …; …; END`. */
function definesRoutine(tokens: readonly Token[]): boolean {
  if (tokens[0]?.text !== 'create') return false;
  const kind = tokens[1]?.text === 'or' ? tokens[3]?.text : tokens[1]?.text;
  return kind === 'function' || kind === 'procedure';
}

function blockChange(word: string, depth: number): number {
  if (word === 'begin' || (word === 'case' && depth > 0)) return 1;
  return word === 'end' && depth > 0 ? -1 : 0;
}

const SPACE = /[ \t\n\r\f\v]*/y;
const WORD = /[\p{L}_][\p{L}\p{N}_$]*/uy;
const DOLLAR_TAG = /\$(?:[\p{L}_][\p{L}\p{N}_]*)?\$/uy;
const NUMBER = /\d[\d.]*/y;

/** The token at `at`, which must not be white space. */
function nextToken(script: string, at: number): Token {
  const character = script[at];
  const token = (kind: Token['kind'], end: number, text = script.slice(at, end)): Token => ({
    kind,
    start: at,
    end,
    text,
  });
  if (script.startsWith('--', at)) return token('comment', endOfLine(script, at));
  if (script.startsWith('/*', at)) return token('comment', endOfBlockComment(script, at));
  if (character === "'") return token('string', endOfQuoted(script, at, "'"));
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
    return token('string', close < 0 ? script.length : close + tag.length);
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

function endOfQuoted(script: string, at: number, quote: string): number {
  let end = at + 1;
  for (;;) {
    end = script.indexOf(quote, end);
    if (end < 0) return script.length;
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
  return script.length;
}

function endOfBlockComment(script: string, at: number): number {
  let depth = 0;
  let end = at;
  while (end < script.length) {
    if (script.startsWith('/*', end)) {
      depth += 1;
      end += 2;
    } else if (script.startsWith('*/', end)) {
      depth -= 1;
      end += 2;
      if (depth === 0) return end;
    } else {
      end += 1;
    }
  }
  return script.length;
}
