import type { DumpEntry } from '../server/dump-script.ts';
import { quoteIdentifier, quoteTable, tableName } from '../server/identifiers.ts';
import { type Statement, scriptParts, type Token } from '../server/sql-text.ts';
import { qualifiedNameAt } from './selection.ts';

/** Pre-data without the checks that call functions which aren't built in, and these checks separately, in the dump's order. */
interface SeparatedChecks {
  readonly preData: readonly DumpEntry[];
  /** Statements that add the checks for new rows once every row is loaded, with the comments on these checks. */
  readonly lateChecks: readonly DumpEntry[];
  /** Statements that validate the existing rows once everything exists that the checks' functions may read. */
  readonly validations: readonly DumpEntry[];
}

/**
 * Moves the checks for which `isLate` returns true (those that call functions) out of CREATE TABLE and CREATE DOMAIN, where pg_dump writes them. There they
 * would check each row while it is loaded, when the rows or the view that the function reads may not exist yet. A later validation checks the same rows once.
 * Pure.
 */
export function separateChecks(
  preData: readonly DumpEntry[],
  isLate: (expression: readonly Token[]) => boolean,
): SeparatedChecks {
  const kept: DumpEntry[] = [];
  const lateChecks: DumpEntry[] = [];
  const validations: DumpEntry[] = [];
  const late = new Set<string>();
  for (const entry of preData) {
    const commented = entry.type === 'COMMENT' ? commentedConstraint(entry) : undefined;
    if (commented !== undefined && late.has(commented)) {
      lateChecks.push(entry);
      continue;
    }
    const isContained = () => entry.type === 'DOMAIN' && isInContainer(entry, preData);
    const checks = isContained() ? [] : checksOf(entry).filter(({ body }) => isLate(body));
    const create = entry.statements[0];
    const of = create === undefined ? undefined : createdName(create.tokens);
    if (checks.length === 0 || create === undefined || of === undefined) {
      kept.push(entry);
      continue;
    }
    const without = withoutClauses(create, checks);
    kept.push({ ...entry, statements: [without, ...entry.statements.slice(1)] });
    for (const check of checks) {
      late.add(`${tableName(of)} ${check.name.text}`);
      lateChecks.push(lateCheck(entry, create, of, check));
      validations.push(validation(entry, of, check));
    }
  }
  return { preData: kept, lateChecks, validations };
}

interface Check {
  readonly name: Token;
  readonly body: readonly Token[];
  /** Offsets of the whole clause in the script. */
  readonly start: number;
  readonly end: number;
  /** The commas before and after the clause, if any. */
  readonly commaBefore?: Token;
  readonly commaAfter?: Token;
}

/** Finds the checks that an entry contains as `CONSTRAINT name CHECK (…)`. */
function checksOf(entry: DumpEntry): readonly Check[] {
  const tokens = entry.statements[0]?.tokens ?? [];
  if (entry.type === 'DOMAIN') return clauses(tokens, 0);
  const table = tokens.findIndex(({ text }) => text === 'table');
  // `CREATE TABLE … OF type (…)` may not have an empty list.
  const isTyped = tokens[table + 4]?.text === 'of';
  return entry.type === 'TABLE' && !isTyped ? clauses(tokens, 1) : [];
}

function clauses(tokens: readonly Token[], level: number): readonly Check[] {
  const checks: Check[] = [];
  let depth = 0;
  for (const [at, token] of tokens.entries()) {
    if (token.kind === 'symbol' && token.text === '(') depth += 1;
    if (token.kind === 'symbol' && token.text === ')') depth -= 1;
    const [name, check] = [tokens[at + 1], tokens[at + 2]];
    const before = tokens[at - 1];
    const begins = level === 0 || before?.text === ',' || before?.text === '(';
    if (depth !== level || !begins || token.kind !== 'word' || token.text !== 'constraint') continue;
    if (name === undefined || check?.kind !== 'word' || check.text !== 'check') continue;
    const close = endOfClause(tokens, at + 3, level);
    const last = tokens[close - 1];
    if (last === undefined) continue;
    const after = tokens[close];
    checks.push({
      name,
      body: tokens.slice(at + 3, close),
      start: token.start,
      end: last.end,
      ...(before?.text === ',' ? { commaBefore: before } : {}),
      ...(after?.text === ',' ? { commaAfter: after } : {}),
    });
  }
  return checks;
}

/** Returns the place after the check's expression and its `NO INHERIT`. */
function endOfClause(tokens: readonly Token[], from: number, level: number): number {
  let depth = level;
  for (let at = from; at < tokens.length; at += 1) {
    const { kind, text } = tokens[at] ?? { kind: 'symbol', text: '' };
    if (kind === 'symbol' && text === '(') depth += 1;
    if (kind === 'symbol' && text === ')') depth -= 1;
    if (depth < level) return at;
    if (depth === level && kind === 'symbol' && text === ',') return at;
    // The next constraint of a domain begins here.
    if (level === 0 && depth === 0 && kind === 'word' && text === 'constraint') return at;
  }
  return tokens.length;
}

function createdName(tokens: readonly Token[]) {
  const at = tokens.findIndex(({ text }) => text === 'table' || text === 'domain');
  return at < 0 ? undefined : qualifiedNameAt(tokens, at + 1);
}

/** Returns `schema.table constraint` for `COMMENT ON CONSTRAINT name ON [DOMAIN] schema.table`. */
function commentedConstraint({ statements }: DumpEntry): string | undefined {
  const tokens = statements[0]?.tokens ?? [];
  if (tokens[2]?.text !== 'constraint') return undefined;
  const of = qualifiedNameAt(tokens, tokens[5]?.text === 'domain' ? 6 : 5);
  return of === undefined ? undefined : `${tableName(of)} ${tokens[3]?.text}`;
}

/** True for a domain that a composite, a range or an array contains. It can't get a check later: the server would have to look into the values. */
function isInContainer(entry: DumpEntry, preData: readonly DumpEntry[]): boolean {
  const isDomain = (tokens: readonly Token[], at: number) =>
    tokens[at]?.text === entry.schema && tokens[at + 1]?.text === '.' && tokens[at + 2]?.text === entry.name;
  return preData.some(({ type, statements }) =>
    statements.some(({ tokens }) =>
      tokens.some((_, at) => isDomain(tokens, at) && (type === 'TYPE' || tokens[at + 3]?.text === '[')),
    ),
  );
}

/** Each check is removed with the comma before it, or, at the start of the list, with the comma after it. */
function withoutClauses(statement: Statement, cuts: readonly Check[]): Statement {
  let at = statement.start;
  let text = '';
  const keepUntil = (end: number) => {
    text += statement.text.slice(at - statement.start, end - statement.start);
  };
  for (const { start, end, commaBefore, commaAfter } of cuts) {
    const isFirst = commaBefore === undefined || commaBefore.end <= at;
    keepUntil(isFirst ? start : commaBefore.start);
    at = isFirst ? (commaAfter?.end ?? end) : end;
  }
  keepUntil(statement.start + statement.text.length);
  return parsed(text);
}

function lateCheck(
  entry: DumpEntry,
  create: Statement,
  of: { readonly schema: string; readonly table: string },
  { name, start, end }: Check,
): DumpEntry {
  const clause = create.text.slice(start - create.start, end - create.start);
  return checkEntry(entry, name, `ALTER ${kindOf(entry)} ${quoteTable(of)} ADD ${clause} NOT VALID;`);
}

function validation(
  entry: DumpEntry,
  of: { readonly schema: string; readonly table: string },
  { name }: Check,
): DumpEntry {
  const text = `ALTER ${kindOf(entry)} ${quoteTable(of)} VALIDATE CONSTRAINT ${quoteIdentifier(name.text)};`;
  return checkEntry(entry, name, text);
}

function kindOf({ type }: DumpEntry): 'DOMAIN' | 'TABLE' {
  return type === 'DOMAIN' ? 'DOMAIN' : 'TABLE';
}

function checkEntry(entry: DumpEntry, name: Token, text: string): DumpEntry {
  return {
    ...entry,
    name: `${entry.name} ${name.text}`,
    type: 'CHECK CONSTRAINT',
    statements: [parsed(text)],
  };
}

function parsed(text: string): Statement {
  for (const part of scriptParts(text)) if (part.kind === 'statement') return part.statement;
  throw new TypeError('a statement without tokens');
}
