/** Parses just enough of SQL's lexical structure to change a statement without touching strings, comments and function bodies. */

export interface Token {
  readonly kind: 'word' | 'quoted' | 'string' | 'number' | 'symbol';
  /** Words in lower case; everything else as written. */
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

const TOKEN =
  /(?<space>\s+|--[^\n]*)|(?<comment>\/\*)|(?<dollar>\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)|(?<escaped>[eE]'(?:[^'\\]|\\[\s\S]|'')*')|(?<string>'(?:[^']|'')*')|(?<quoted>"(?:[^"]|"")*")|(?<word>[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)|(?<number>\d[\w.]*)|(?<symbol>[\s\S])/gu;

/** Returns the tokens of `sql`, without white space and comments. */
export function tokens(sql: string): Token[] {
  const found: Token[] = [];
  const pattern = new RegExp(TOKEN);
  for (let match = pattern.exec(sql); match !== null; match = pattern.exec(sql)) {
    const groups = match.groups ?? {};
    const start = match.index;
    if (groups.comment !== undefined) {
      pattern.lastIndex = endOfComment(sql, start);
    } else if (groups.dollar !== undefined) {
      const close = sql.indexOf(groups.dollar, pattern.lastIndex);
      pattern.lastIndex = close < 0 ? sql.length : close + groups.dollar.length;
      found.push({
        kind: 'string',
        text: sql.slice(start, pattern.lastIndex),
        start,
        end: pattern.lastIndex,
      });
    } else if (groups.space === undefined) {
      found.push({ kind: kindOf(groups), text: spelled(match[0], groups), start, end: pattern.lastIndex });
    }
  }
  return found;
}

function kindOf(groups: Readonly<Record<string, string | undefined>>): Token['kind'] {
  if (groups.escaped !== undefined || groups.string !== undefined) return 'string';
  if (groups.quoted !== undefined) return 'quoted';
  if (groups.word !== undefined) return 'word';
  return groups.number !== undefined ? 'number' : 'symbol';
}

function spelled(written: string, groups: Readonly<Record<string, string | undefined>>): string {
  return groups.word === undefined ? written : written.toLowerCase();
}

/** Comments nest. */
function endOfComment(sql: string, start: number): number {
  const edge = /\/\*|\*\//g;
  edge.lastIndex = start;
  let depth = 0;
  for (let match = edge.exec(sql); match !== null; match = edge.exec(sql)) {
    depth += match[0] === '/*' ? 1 : -1;
    if (depth === 0) return edge.lastIndex;
  }
  return sql.length;
}

/** One statement of a text that may hold several. */
export interface Statement {
  readonly sql: string;
  readonly tokens: readonly Token[];
}

/** Cuts a text at the semicolons outside parentheses and `BEGIN ATOMIC … END` bodies. */
export function statements(sql: string): Statement[] {
  const found: Statement[] = [];
  let current: Token[] = [];
  let depth = 0;
  let atomic = false;
  const close = () => {
    const first = current[0];
    const last = current.at(-1);
    if (first !== undefined && last !== undefined) {
      const shift = first.start;
      found.push({
        sql: sql.slice(first.start, last.end),
        tokens: current.map((token) => ({ ...token, start: token.start - shift, end: token.end - shift })),
      });
    }
    current = [];
  };
  for (const token of tokens(sql)) {
    if (token.text === '(') depth += 1;
    if (token.text === ')') depth -= 1;
    if (token.text === 'atomic' && current.at(-1)?.text === 'begin') atomic = true;
    if (token.kind === 'symbol' && token.text === ';' && depth === 0) {
      if (atomic && current.at(-1)?.text === 'end') atomic = false;
      if (!atomic) {
        close();
        continue;
      }
    }
    current.push(token);
  }
  close();
  return found;
}

/** How a statement affects a transaction's snapshot. */
export type StatementKind =
  /** Opens a transaction. */
  | 'begin'
  /** Ends a transaction, or sets a savepoint in it. */
  | 'transaction'
  /** Changes or shows settings; reads no table. */
  | 'session'
  | 'query';

const KIND_BY_WORD: Readonly<Record<string, StatementKind>> = {
  begin: 'begin',
  start: 'begin',
  commit: 'transaction',
  end: 'transaction',
  rollback: 'transaction',
  abort: 'transaction',
  savepoint: 'transaction',
  release: 'transaction',
  set: 'session',
  reset: 'session',
  show: 'session',
  discard: 'session',
  deallocate: 'session',
  listen: 'session',
  unlisten: 'session',
};

export function kindOfStatement(statement: Statement): StatementKind {
  return KIND_BY_WORD[statement.tokens[0]?.text ?? ''] ?? 'query';
}

/** Returns the text of a string literal or number; undefined for anything else. */
export function literal(token: Token | undefined): string | undefined {
  if (token?.kind === 'number') return token.text;
  if (token?.kind === 'string' && token.text.startsWith("'"))
    return token.text.slice(1, -1).replaceAll("''", "'");
  return undefined;
}

/** Returns the name that an identifier denotes. */
export function identifier(token: Token | undefined): string | undefined {
  if (token?.kind === 'quoted') return token.text.slice(1, -1).replaceAll('""', '"');
  return token?.kind === 'word' ? token.text : undefined;
}

/** Returns `sql` with some ranges replaced; ranges must not overlap. */
export function replaceRanges(
  sql: string,
  edits: readonly { readonly start: number; readonly end: number; readonly with: string }[],
): string {
  let changed = sql;
  for (const edit of [...edits].sort((a, b) => b.start - a.start || b.end - a.end)) {
    changed = changed.slice(0, edit.start) + edit.with + changed.slice(edit.end);
  }
  return changed;
}
