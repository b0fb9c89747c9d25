import type { DumpEntry } from '../server/dump-script.ts';
import { tableName } from '../server/identifiers.ts';
import type { Token } from '../server/sql-text.ts';
import type { ForeignCalls } from './calls.ts';
import { qualifiedNameAt, tableOfAlter } from './selection.ts';

/** Names (`schema.table`) of tables that call functions. */
export interface CallingTables {
  /**
   * Tables whose rows can't be loaded without calling a function that isn't built in: for a generated column, for a domain's check, or
   * to decide whether a row belongs to its partition.
   */
  readonly late: ReadonlySet<string>;
  /** Tables where such a function decides the partition of a row, in the table itself or in one above it. */
  readonly partitioned: ReadonlySet<string>;
}

/** Finds tables that call functions. Pure. */
export function callingTables(preData: readonly DumpEntry[], calls: ForeignCalls): CallingTables {
  const late = new Set<string>();
  const openPartitioning = new Set<string>();
  const attached: (readonly [child: string, parent: string])[] = [];
  for (const entry of preData) {
    const tokens = entry.statements[0]?.tokens ?? [];
    const name = `${entry.schema}.${entry.name}`;
    if (entry.type === 'TABLE') {
      const list = columnsOf(tokens);
      const checks = expressions(list, 'check').concat(expressions(list, 'as'));
      if (checks.some(calls.inExpression) || hasCheckedType(list, calls)) late.add(name);
      const partitioning = tokens.findIndex((_, at) => isPartitionBy(tokens, at));
      if (partitioning >= 0 && calls.inExpression(tokens.slice(partitioning))) openPartitioning.add(name);
    } else if (entry.type === 'TABLE ATTACH') {
      const parent = tableOfAlter(tokens);
      if (parent !== undefined) attached.push([name, tableName(parent)]);
    }
  }
  // The server checks rows of a partition against the bounds of all tables above it.
  for (let grew = true; grew; ) {
    const more = attached.filter(
      ([child, parent]) => openPartitioning.has(parent) && !(late.has(child) && openPartitioning.has(child)),
    );
    for (const [child] of more) {
      late.add(child);
      openPartitioning.add(child);
    }
    grew = more.length > 0;
  }
  return { late, partitioned: openPartitioning };
}

/** Returns the tokens from the column list on. */
function columnsOf(tokens: readonly Token[]): readonly Token[] {
  const start = tokens.findIndex(({ kind, text }) => kind === 'symbol' && text === '(');
  return start < 0 ? [] : tokens.slice(start);
}

function isPartitionBy(tokens: readonly Token[], at: number): boolean {
  return tokens[at]?.kind === 'word' && tokens[at]?.text === 'partition' && tokens[at + 1]?.text === 'by';
}

/** Returns the expressions in parentheses after a word: of `CHECK (…)`, or of `GENERATED ALWAYS AS (…)`. */
function expressions(tokens: readonly Token[], word: 'check' | 'as'): readonly (readonly Token[])[] {
  const found: (readonly Token[])[] = [];
  for (const [at, { kind, text }] of tokens.entries()) {
    if (kind !== 'word' || text !== word || tokens[at + 1]?.text !== '(') continue;
    if (word === 'as' && tokens[at - 1]?.text !== 'always') continue;
    let depth = 0;
    let end = at + 1;
    for (; end < tokens.length; end += 1) {
      if (tokens[end]?.kind !== 'symbol') continue;
      if (tokens[end]?.text === '(') depth += 1;
      if (tokens[end]?.text === ')' && --depth === 0) break;
    }
    found.push(tokens.slice(at + 1, end + 1));
  }
  return found;
}

function hasCheckedType(tokens: readonly Token[], calls: ForeignCalls): boolean {
  return tokens.some((_, at) => {
    const name = qualifiedNameAt(tokens, at);
    return name !== undefined && calls.ofType(tableName(name));
  });
}
