import type { DumpEntry } from '../server/dump-script.ts';
import type { Token } from '../server/sql-text.ts';

/*
 * Finds the expressions of a dump that call functions which aren't built in. Such a function can depend on anything (another table's
 * rows, a key, a view), and only its body, in any language, shows on what. So only the expression's place in the dump proves that what
 * it needs exists by then.
 *
 * This reads the dump itself: pg_dump runs with an empty search path, so it writes every function, operator and type outside of
 * pg_catalog with its schema. Every backup has the dump, of whatever version, and every worker reads the same one. The text doesn't
 * show the functions that a type's own comparison calls. Those of an extension count as built in (they compare values, and every
 * ANALYZE calls them). A dump with operator classes or casts of its own is treated as the worst case.
 */

/** Says which expressions of one database's dump call functions that aren't built in. */
export interface ForeignCalls {
  /** True when creating this index or constraint may call a function that isn't built in. */
  inIndex(entry: DumpEntry): boolean;
  /** True when an expression among these tokens may call one. */
  inExpression(tokens: readonly Token[]): boolean;
  /** True when a query among these tokens may call one. In a query tables and columns are qualified too. */
  inQuery(tokens: readonly Token[]): boolean;
  /** True when reading a value of the type (`schema.name`) may call one: for a domain whose check does. */
  ofType(name: string): boolean;
}

/**
 * Reads the pre-data of a dump. `recorded` are the indexes (`schema.name`) that, according to the source's catalogs at the backup,
 * call functions which the text doesn't show. Pure.
 */
export function foreignCalls(
  preData: readonly DumpEntry[],
  recorded: ReadonlySet<string> = new Set(),
): ForeignCalls {
  const hasOwnClasses = preData.some(({ type }) => type.startsWith('OPERATOR '));
  const hasOwnCasts = preData.some(
    ({ type, statements }) =>
      type === 'CAST' && statements[0]?.tokens.some(({ text }) => text === 'function'),
  );
  const plainTypes = new Set<string>();
  /** Domains whose check calls such a function, and the types made of them. */
  const checkedTypes = new Set<string>();
  const inExpression = (tokens: readonly Token[]): boolean =>
    qualifiedNames(tokens).some(({ at, name, schema }) => {
      if (schema === 'pg_catalog' || tokens[at - 1]?.text === 'collate') return false;
      const isType = tokens[at - 1]?.text === ':' && tokens[at - 2]?.text === ':';
      return !(isType && plainTypes.has(name));
    }) ||
    callsOperator(tokens) ||
    (hasOwnCasts && tokens.some(({ text }) => text === '(' || text === ':'));

  for (const entry of preData) {
    const tokens = entry.statements[0]?.tokens ?? [];
    const name = `${entry.schema}.${entry.name}`;
    if (entry.type !== 'TYPE' && entry.type !== 'DOMAIN') continue;
    const isMadeOfChecked = qualifiedNames(tokens).some((part) => checkedTypes.has(part.name));
    const isDomain = entry.type === 'DOMAIN';
    if (isMadeOfChecked || (isDomain && inExpression(tokens.slice(firstCheck(tokens)))))
      checkedTypes.add(name);
    else if (isDomain || isEnumOrRow(tokens)) plainTypes.add(name);
  }

  return {
    inExpression,
    inQuery: (tokens) =>
      hasOwnCasts ||
      callsOperator(tokens) ||
      qualifiedNames(tokens).some(
        ({ at, schema }) =>
          schema !== 'pg_catalog' && tokens[at + 3]?.text === '(' && tokens[at + 3]?.kind === 'symbol',
      ),
    ofType: (name) => checkedTypes.has(name),
    inIndex(entry) {
      const tokens = entry.statements[0]?.tokens ?? [];
      const start = beginOfDefinition(tokens);
      if (start === undefined) return inExpression(tokens.slice(afterConstraintName(tokens)));
      const constraint = tokens[afterConstraintName(tokens) - 1]?.text;
      const index = entry.type === 'INDEX' ? entry.name : constraint;
      if (hasOwnClasses || recorded.has(`${entry.schema}.${index}`)) return true;
      const definition = withoutOperatorClasses(tokens.slice(start));
      return !hasColumnsOnly(definition) && inExpression(definition);
    },
  };
}

/** True for `OPERATOR(schema.+)`, pg_dump's form for an operator that is not found without its schema. */
function callsOperator(tokens: readonly Token[]): boolean {
  return tokens.some(
    ({ kind, text }, at) =>
      kind === 'word' &&
      text === 'operator' &&
      tokens[at + 1]?.text === '(' &&
      tokens[at + 2]?.text !== 'pg_catalog',
  );
}

/** Finds the places where the tokens name something with its schema. */
function qualifiedNames(
  tokens: readonly Token[],
): readonly { readonly at: number; readonly name: string; readonly schema: string }[] {
  const found: { at: number; name: string; schema: string }[] = [];
  for (const [at, token] of tokens.entries()) {
    const [dot, second] = [tokens[at + 1], tokens[at + 2]];
    if (!isName(token) || dot?.text !== '.' || dot.kind !== 'symbol' || !isName(second)) continue;
    if (tokens[at - 1]?.text === '.') continue;
    found.push({ at, name: `${token.text}.${second?.text}`, schema: token.text });
  }
  return found;
}

function isName(token: Token | undefined): boolean {
  return token?.kind === 'word' || token?.kind === 'name';
}

/** True for `CREATE TYPE … AS ENUM (…)` or `AS (…)`. Values of other types are read by functions. */
function isEnumOrRow(tokens: readonly Token[]): boolean {
  const as = tokens.findIndex(({ kind, text }) => kind === 'word' && text === 'as');
  return as >= 0 && ['enum', '('].includes(tokens[as + 1]?.text ?? '');
}

/** True for a single list of names without expressions and without a predicate. */
function hasColumnsOnly(definition: readonly Token[]): boolean {
  const parentheses = definition.filter(({ kind, text }) => kind === 'symbol' && text === '(');
  return parentheses.length <= 1 && !definition.some(({ kind, text }) => kind === 'word' && text === 'where');
}

function firstCheck(tokens: readonly Token[]): number {
  const check = tokens.findIndex(({ kind, text }) => kind === 'word' && text === 'check');
  return check < 0 ? tokens.length : check;
}

/** The place after `ADD CONSTRAINT name`, where a CHECK or the columns of a key begin. */
function afterConstraintName(tokens: readonly Token[]): number {
  const constraint = tokens.findIndex(({ kind, text }) => kind === 'word' && text === 'constraint');
  return constraint < 0 ? 0 : constraint + 2;
}

/** Where the columns of an index or a key begin, at their parenthesis; undefined for a CHECK. */
function beginOfDefinition(tokens: readonly Token[]): number | undefined {
  const word = (text: string, from = 0) =>
    tokens.findIndex((token, at) => at >= from && token.kind === 'word' && token.text === text);
  if (tokens[0]?.text === 'create') {
    const using = word('using');
    return using < 0 ? 0 : using + 2;
  }
  const kind = tokens[afterConstraintName(tokens)]?.text;
  return kind === 'check' ? undefined : afterConstraintName(tokens) + 1;
}

/**
 * Removes the operator classes of an index's columns. At the outermost level of the column list, a name after anything but `(` or
 * `,` is a class or a collation, never a function.
 */
function withoutOperatorClasses(tokens: readonly Token[]): readonly Token[] {
  const kept: Token[] = [];
  let depth = 0;
  let isInList = true;
  for (let at = 0; at < tokens.length; at += 1) {
    const token = tokens[at];
    if (token === undefined) break;
    if (token.text === '(' && token.kind === 'symbol') depth += 1;
    if (token.text === ')' && token.kind === 'symbol') {
      depth -= 1;
      if (depth === 0) isInList = false;
    }
    const before = tokens[at - 1]?.text;
    const isClass =
      isInList &&
      depth === 1 &&
      isName(token) &&
      tokens[at + 1]?.text === '.' &&
      !['(', ',', '.'].includes(before ?? '(');
    if (isClass) at += 2;
    else kept.push(token);
  }
  return kept;
}
