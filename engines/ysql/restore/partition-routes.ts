import type { DumpEntry } from '../server/dump-script.ts';
import { tableName } from '../server/identifiers.ts';
import type { Token } from '../server/sql-text.ts';
import {
  attachedTable,
  createdTable,
  type QualifiedName,
  qualifiedNameAt,
  tableOfAlter,
} from './selection.ts';

/*
 * The hash of a row's key decides its hash partition, and some hashes differ between databases: the hash of an enum value uses its OID, and
 * that of a text with a non-deterministic collation uses a sort key that depends on the ICU version. For partitions by enums pg_dump loads
 * rows through the partitioned table (`getPartitioningInfo`, src/bin/pg_dump/pg_dump.c), but it looks only at enum_ops. This code includes
 * every key that involves a type, collation, operator class or function which isn't built in. That covers more than necessary, and costs a
 * look-up per row.
 */

/**
 * For each partition (`schema.table`) whose rows may belong to another partition in the copy: the table through which to load them,
 * which is the topmost one that is partitioned by such a hash. Pure.
 */
export function partitionRoutes(preData: readonly DumpEntry[]): ReadonlyMap<string, QualifiedName> {
  const safeDomains = domainsOverBuiltIn(preData);
  const parents = new Map<string, QualifiedName>();
  const dangerous = new Set<string>();
  for (const entry of preData) {
    const tokens = entry.statements[0]?.tokens ?? [];
    if (entry.type === 'TABLE ATTACH') {
      const [parent, child] = [tableOfAlter(tokens), attachedTable(tokens)];
      if (parent !== undefined && child !== undefined) parents.set(tableName(child), parent);
    } else if (entry.type === 'TABLE') {
      const table = createdTable(tokens);
      if (table === undefined) continue;
      const of = wordsAt(tokens, 'partition', 'of');
      const parent = of < 0 ? undefined : qualifiedNameAt(tokens, of + 2);
      if (parent !== undefined) parents.set(tableName(table), parent);
      if (mayHashOtherwise(tokens, safeDomains)) dangerous.add(tableName(table));
    }
  }
  const routes = new Map<string, QualifiedName>();
  if (dangerous.size === 0) return routes;
  for (const child of parents.keys()) {
    let route: QualifiedName | undefined;
    for (let up = parents.get(child); up !== undefined; up = parents.get(tableName(up))) {
      if (dangerous.has(tableName(up))) route = up;
    }
    if (route !== undefined) routes.set(child, route);
  }
  return routes;
}

function wordsAt(tokens: readonly Token[], first: string, second: string): number {
  return tokens.findIndex(
    ({ kind, text }, at) =>
      kind === 'word' && text === first && tokens[at + 1]?.kind === 'word' && tokens[at + 1]?.text === second,
  );
}

/**
 * Returns the domains (`schema.name`) over built-in types, whose values hash like those of their base types. pg_dump writes a
 * domain before the domains over it.
 */
function domainsOverBuiltIn(preData: readonly DumpEntry[]): ReadonlySet<string> {
  const safe = new Set<string>();
  for (const { type, statements } of preData) {
    const tokens = statements[0]?.tokens ?? [];
    const domain = type === 'DOMAIN' ? qualifiedNameAt(tokens, 2) : undefined;
    // CREATE DOMAIN schema.name AS type …
    if (domain !== undefined && isBuiltIn(untilDefault(tokens.slice(6)), safe)) safe.add(tableName(domain));
  }
  return safe;
}

/** True for tokens that name nothing outside pg_catalog except domains known to be safe. */
function isBuiltIn(tokens: readonly Token[], safeDomains: ReadonlySet<string>): boolean {
  return tokens.every((_, at) => {
    const name = qualifiedNameAt(tokens, at);
    return name === undefined || name.schema === 'pg_catalog' || safeDomains.has(tableName(name));
  });
}

const BEHIND_TYPE = new Set(['default', 'generated', 'constraint', 'check', 'not', 'null']);

/** Returns a type with its collation, without the clauses after it. */
function untilDefault(tokens: readonly Token[]): readonly Token[] {
  const end = tokens.findIndex(({ kind, text }) => kind === 'word' && BEHIND_TYPE.has(text));
  return end < 0 ? tokens : tokens.slice(0, end);
}

function mayHashOtherwise(tokens: readonly Token[], safeDomains: ReadonlySet<string>): boolean {
  const by = wordsAt(tokens, 'partition', 'by');
  if (by < 0 || tokens[by + 2]?.text !== 'hash') return false;
  const key = inParentheses(tokens, by + 3);
  if (!isBuiltIn(key, safeDomains)) return true;
  const list = tokens.findIndex(({ kind, text }) => kind === 'symbol' && text === '(');
  // `OF type` and `PARTITION OF table` name no columns.
  if (list < 0 || list > by || wordsAt(tokens.slice(0, list), 'partition', 'of') >= 0) return true;
  const types = new Map(
    atCommas(inParentheses(tokens, list)).map(([name, ...type]) => [name?.text, untilDefault(type)]),
  );
  return key.some(({ kind, text }) => {
    const type = kind === 'word' || kind === 'name' ? types.get(text) : undefined;
    return type !== undefined && !isBuiltIn(type, safeDomains);
  });
}

/** Returns the tokens between the parenthesis at `start` and its counterpart. */
function inParentheses(tokens: readonly Token[], start: number): readonly Token[] {
  let depth = 0;
  for (let at = start; at < tokens.length; at += 1) {
    const token = tokens[at];
    if (token?.kind !== 'symbol') continue;
    if (token.text === '(') depth += 1;
    if (token.text === ')' && --depth === 0) return tokens.slice(start + 1, at);
  }
  return tokens.slice(start + 1);
}

function atCommas(tokens: readonly Token[]): readonly (readonly Token[])[] {
  const parts: Token[][] = [[]];
  let depth = 0;
  for (const token of tokens) {
    if (token.kind === 'symbol' && (token.text === '(' || token.text === '[')) depth += 1;
    if (token.kind === 'symbol' && (token.text === ')' || token.text === ']')) depth -= 1;
    if (token.kind === 'symbol' && token.text === ',' && depth === 0) parts.push([]);
    else parts.at(-1)?.push(token);
  }
  return parts;
}
