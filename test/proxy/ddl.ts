import { replaceRanges, type Statement, type Token } from './sql.ts';

type Edit = { readonly start: number; readonly end: number; readonly with: string };

/** Replaces a statement that PostgreSQL has no counterpart for; it does nothing. */
const NOTHING = 'DO $nothing$ BEGIN END $nothing$';

/** Matches a text whose DDL may need a translation. */
export const DDL_WORDS =
  /lsm|tablegroup|nonconcurrently|\bsplit\b|\bhash\b|\basc\b|\bdesc\b|coloca|replica_placement/i;

/**
 * Translates a defining statement from YugabyteDB's dialect to PostgreSQL's (section 8 of the facts on the programs): `PRIMARY
 * KEY((a) HASH, b ASC)`, `USING lsm`, `NONCONCURRENTLY`, `SPLIT …`, colocation and tablegroups. Returns undefined when PostgreSQL
 * understands the statement as it is.
 */
export function translateDdl({ sql, tokens }: Statement): string | undefined {
  const [first, second] = tokens;
  if (isOfTablegroup(tokens)) return NOTHING;
  if (first?.text !== 'create' && first?.text !== 'alter') return undefined;
  if (['function', 'procedure', 'view', 'rule', 'trigger', 'policy'].includes(kindOf(tokens)))
    return undefined;
  const edits = second?.text === 'database' ? databaseEdits(tokens) : relationEdits(tokens);
  return edits.length === 0 ? undefined : replaceRanges(sql, edits);
}

/** Returns the kind of object: the word after CREATE and its modifiers. */
function kindOf(tokens: readonly Token[]): string {
  const place = tokens.findIndex(
    ({ text }, at) =>
      at > 0 && !['or', 'replace', 'unlogged', 'unique', 'foreign', 'temporary', 'temp'].includes(text),
  );
  return tokens[place]?.text ?? '';
}

function isOfTablegroup(tokens: readonly Token[]): boolean {
  const [first, second, third] = tokens;
  if (['create', 'alter', 'drop'].includes(first?.text ?? '')) return second?.text === 'tablegroup';
  if (first?.text === 'comment') return third?.text === 'tablegroup';
  if (first?.text !== 'grant' && first?.text !== 'revoke') return false;
  return tokens.some(
    ({ kind, text }, at) => kind === 'word' && text === 'tablegroup' && tokens[at - 1]?.text === 'on',
  );
}

const DATABASE_OPTIONS: ReadonlySet<string> = new Set(['colocated', 'colocation']);

function databaseEdits(tokens: readonly Token[]): readonly Edit[] {
  return tokens.flatMap((token, at): Edit[] => {
    const value = tokens[at + 2];
    // Tests of the simulator mark a database by `SET yb.colocated = …`.
    const isOption =
      token.kind === 'word' && DATABASE_OPTIONS.has(token.text) && tokens[at - 1]?.text !== '.';
    return isOption && value !== undefined ? [{ start: token.start, end: value.end, with: '' }] : [];
  });
}

function relationEdits(tokens: readonly Token[]): readonly Edit[] {
  const edits: Edit[] = [];
  let depth = 0;
  for (const [at, token] of tokens.entries()) {
    if (token.text === '(') depth += 1;
    if (token.text === ')') depth -= 1;
    const next = tokens[at + 1];
    if (token.kind !== 'word' || next === undefined) continue;
    if (token.text === 'nonconcurrently') edits.push(cut(token, token));
    if (token.text === 'lsm' && tokens[at - 1]?.text === 'using') {
      edits.push({ start: token.start, end: token.end, with: 'btree' });
      edits.push(...keyEdits(tokens, at + 1, ['hash']));
    }
    if (token.text === 'index' && at < 3) {
      // Without USING the method is lsm.
      const list = tokens.findIndex(({ text }, place) => place > at && (text === '(' || text === 'using'));
      if (tokens[list]?.text === '(') edits.push(...keyEdits(tokens, list, ['hash']));
    }
    if (token.text === 'key' && tokens[at - 1]?.text === 'primary' && next.text === '(') {
      edits.push(...keyEdits(tokens, at + 1, ['hash', 'asc', 'desc']));
    }
    if (token.text === 'split' && depth === 0) edits.push(cut(token, endOfSplit(tokens, at)));
    if (token.text === 'tablegroup' && depth === 0) edits.push(cut(token, next));
    if (token.text === 'with' && next.text === '(') edits.push(...optionEdits(tokens, at));
  }
  return edits;
}

function cut(first: Token, last: Token): Edit {
  return { start: first.start, end: last.end, with: '' };
}

/** `SPLIT INTO n TABLETS`, `SPLIT AT VALUES ((…), …)`. */
function endOfSplit(tokens: readonly Token[], at: number): Token {
  const last = tokens[at + 1]?.text === 'into' ? tokens[at + 3] : closing(tokens, at + 3);
  return last ?? (tokens[at] as Token);
}

function closing(tokens: readonly Token[], open: number): Token | undefined {
  let depth = 0;
  for (const token of tokens.slice(open)) {
    if (token.text === '(') depth += 1;
    if (token.text === ')') depth -= 1;
    if (depth === 0) return token;
  }
  return undefined;
}

/** Removes the words of order from a list of columns, and the parentheses around columns that are hashed together. */
function keyEdits(tokens: readonly Token[], open: number, words: readonly string[]): readonly Edit[] {
  const edits: Edit[] = [];
  let depth = 0;
  for (let at = open; at < tokens.length; at += 1) {
    const token = tokens[at];
    if (token === undefined) break;
    if (token.text === '(') {
      depth += 1;
      const group = depth === 2 && startsColumn(tokens, at) ? columnGroup(tokens, at) : undefined;
      if (group !== undefined) edits.push(cut(token, token), cut(group, group));
    }
    if (token.text === ')') depth -= 1;
    if (depth === 0) break;
    const ends = [',', ')', 'nulls'].includes(tokens[at + 1]?.text ?? '');
    if (
      depth === 1 &&
      token.kind === 'word' &&
      words.includes(token.text) &&
      ends &&
      !startsColumn(tokens, at)
    ) {
      edits.push(cut(token, token));
    }
  }
  return edits;
}

function startsColumn(tokens: readonly Token[], at: number): boolean {
  return tokens[at - 1]?.text === '(' || tokens[at - 1]?.text === ',';
}

/** Returns the parenthesis that closes a group of plain columns followed by HASH; undefined for an expression. */
function columnGroup(tokens: readonly Token[], open: number): Token | undefined {
  for (let at = open + 1; at < tokens.length; at += 1) {
    const token = tokens[at];
    if (token?.text === ')') return tokens[at + 1]?.text === 'hash' ? token : undefined;
    if (token === undefined || (token.kind !== 'word' && token.kind !== 'quoted' && token.text !== ','))
      return undefined;
  }
  return undefined;
}

const OWN_OPTIONS: ReadonlySet<string> = new Set([
  'colocation_id',
  'colocation',
  'colocated',
  'replica_placement',
]);

/** Removes the options in `WITH (…)` that PostgreSQL doesn't have, or the whole clause when it has no others. */
function optionEdits(tokens: readonly Token[], withAt: number): readonly Edit[] {
  const end = closing(tokens, withAt + 1);
  const own: Edit[] = [];
  let others = 0;
  const last = end === undefined ? withAt : tokens.indexOf(end);
  for (let at = withAt + 2; at < last; at += 4) {
    const [option, , value, comma] = tokens.slice(at, at + 4);
    if (option === undefined || value === undefined || comma === undefined) break;
    const before = tokens[at - 1];
    if (!OWN_OPTIONS.has(option.text)) others += 1;
    else if (comma.text === ',') own.push(cut(option, comma));
    else own.push(cut(before?.text === ',' && own.at(-1)?.end !== before.end ? before : option, value));
  }
  const first = tokens[withAt];
  if (own.length === 0 || first === undefined || end === undefined) return [];
  return others === 0 ? [cut(first, end)] : own;
}
