import type { ManifestTable } from '../../../model/manifest.ts';
import type { NamePatterns } from '../../../model/pipeline.ts';
import { nameMatcher } from '../../name-patterns.ts';
import type { DumpEntry } from '../server/dump-script.ts';
import { tableName } from '../server/identifiers.ts';
import type { Token } from '../server/sql-text.ts';

/** A table's name, read from a script. */
export interface QualifiedName {
  readonly schema: string;
  readonly table: string;
}

/** Which tables of a database a restore includes, with everything that belongs to them. */
export interface TableSelection {
  /** True when nothing is left out. */
  readonly all: boolean;
  /** The names that patterns can match. Empty when nothing is left out. */
  readonly names: ReadonlySet<string>;
  includes(table: QualifiedName): boolean;
  /** False for entries that belong to a table which isn't selected: its constraints, indexes, triggers, sequences … */
  keeps(entry: DumpEntry): boolean;
}

/**
 * Applies the request's patterns as a backup applies the plan's: children go with their parents, and an included child brings the
 * definitions of its parents. Keeps entries that belong to no table (types, functions, views …); creating them shows whether they
 * work without the missing tables. Pure.
 */
export function selectTables(
  preData: readonly DumpEntry[],
  tables: readonly ManifestTable[],
  patterns: NamePatterns,
): TableSelection {
  const matcher = nameMatcher(patterns);
  if (matcher.all) return { all: true, names: new Set(), includes: () => true, keeps: () => true };
  const parents = parentsByTable(preData);
  const lineage = (name: string): readonly string[] => [name, ...(parents.get(name) ?? []).flatMap(lineage)];
  const candidates = [
    ...preData.flatMap((entry) =>
      entry.type === 'TABLE' || entry.type === 'FOREIGN TABLE' ? (entryTable(entry) ?? []) : [],
    ),
    ...tables.map(tableName),
  ];
  const selected = new Set<string>();
  for (const name of candidates) {
    const line = lineage(name);
    if (!line.some(matcher.included) || line.some(matcher.excluded)) continue;
    for (const member of line) selected.add(member);
  }
  const owners = sequenceOwners(preData);
  const known = new Set(candidates);
  return {
    all: false,
    names: known,
    includes: (table) => selected.has(tableName(table)),
    keeps(entry) {
      const owner = entryTable(entry) ?? owners.get(nameOf(entry));
      // Objects of a view are kept with it. The restore tries to create views, which succeeds if everything that they need
      // exists.
      return owner === undefined || selected.has(owner) || !known.has(owner);
    },
  };
}

function nameOf(entry: DumpEntry): string {
  return `${entry.schema}.${entry.name}`;
}

/**
 * Returns the parents by child: of partitions (`ATTACH PARTITION`; `PARTITION OF` in dumps of the PostgreSQL 11 line) and of
 * inheritance (`INHERITS (…)`).
 */
function parentsByTable(preData: readonly DumpEntry[]): ReadonlyMap<string, readonly string[]> {
  const parents = new Map<string, string[]>();
  const add = (child: string, parent: QualifiedName) => {
    const known = parents.get(child) ?? [];
    known.push(tableName(parent));
    parents.set(child, known);
  };
  for (const entry of preData) {
    const tokens = entry.statements[0]?.tokens ?? [];
    if (entry.type === 'TABLE ATTACH') {
      const [parent, child] = [tableOfAlter(tokens), attachedTable(tokens)];
      if (parent !== undefined && child !== undefined) add(tableName(child), parent);
    } else if (entry.type === 'TABLE' || entry.type === 'FOREIGN TABLE') {
      const child = entryTable(entry) ?? nameOf(entry);
      const partition = tokens.findIndex(
        ({ text }, at) => text === 'partition' && tokens[at + 1]?.text === 'of',
      );
      const partitioned = partition > 0 ? qualifiedNameAt(tokens, partition + 2) : undefined;
      if (partitioned !== undefined) add(child, partitioned);
      const inherits = tokens.findIndex(({ kind, text }) => kind === 'word' && text === 'inherits');
      for (let at = inherits + 2; inherits > 0 && at < tokens.length; at += 4) {
        const parent = qualifiedNameAt(tokens, at);
        if (parent === undefined) break;
        add(child, parent);
      }
    }
  }
  return parents;
}

/** Returns the table by sequence, for sequences that belong to a column: serial columns (`OWNED BY`) and identity columns. */
function sequenceOwners(preData: readonly DumpEntry[]): ReadonlyMap<string, string> {
  const owners = new Map<string, string>();
  for (const entry of preData) {
    if (entry.type !== 'SEQUENCE OWNED BY' && entry.type !== 'SEQUENCE') continue;
    for (const { tokens } of entry.statements) {
      const owned = tokens.findIndex(({ text }, at) => text === 'owned' && tokens[at + 1]?.text === 'by');
      const owner = owned >= 0 ? qualifiedNameAt(tokens, owned + 2) : tableOfAlter(tokens);
      if (owner !== undefined) owners.set(nameOf(entry), tableName(owner));
    }
  }
  return owners;
}

/** The word before the table's name in the first statement of an entry, by type. */
const TABLE_AFTER: Readonly<Record<string, string>> = {
  // ysql_dump writes a UNIQUE constraint as CREATE UNIQUE INDEX and ADD CONSTRAINT … USING INDEX.
  CONSTRAINT: 'on',
  INDEX: 'on',
  TRIGGER: 'on',
  POLICY: 'on',
  RULE: 'to',
  STATISTICS: 'from',
};

/** Returns the table (`schema.table`) that an entry defines or belongs to; undefined when there is none. */
export function entryTable(entry: DumpEntry): string | undefined {
  const tokens = entry.statements[0]?.tokens ?? [];
  if (entry.type === 'TABLE' || entry.type === 'FOREIGN TABLE') {
    const created = createdTable(tokens);
    return created === undefined ? nameOf(entry) : tableName(created);
  }
  if (entry.type === 'TABLE ATTACH') {
    const attached = attachedTable(tokens);
    return attached === undefined ? nameOf(entry) : tableName(attached);
  }
  const altered = tableOfAlter(tokens);
  if (altered !== undefined) return tableName(altered);
  const word = TABLE_AFTER[entry.type];
  if (word === undefined) return undefined;
  for (const [index, token] of tokens.entries()) {
    if (token.kind !== 'word' || token.text !== word) continue;
    const start = tokens[index + 1]?.text === 'only' ? index + 2 : index + 1;
    const name = qualifiedNameAt(tokens, start);
    if (name !== undefined) return tableName(name);
  }
  return undefined;
}

/** Returns the table of `CREATE [UNLOGGED | FOREIGN] TABLE schema.table`. The header can't give it, because it replaces line breaks in a name with spaces. */
export function createdTable(tokens: readonly Token[]): QualifiedName | undefined {
  if (tokens[0]?.text !== 'create') return undefined;
  return qualifiedNameAt(tokens, tokens[1]?.text === 'table' ? 2 : 3);
}

/** Returns the child of `ALTER TABLE … ATTACH PARTITION schema.child`. */
export function attachedTable(tokens: readonly Token[]): QualifiedName | undefined {
  const attach = tokens.findIndex(({ kind, text }) => kind === 'word' && text === 'attach');
  return attach > 0 && tokens[attach + 1]?.text === 'partition'
    ? qualifiedNameAt(tokens, attach + 2)
    : undefined;
}

/** Returns the table of `ALTER [FOREIGN] TABLE [ONLY] schema.table …`. */
export function tableOfAlter(tokens: readonly Token[]): QualifiedName | undefined {
  if (tokens[0]?.text !== 'alter') return undefined;
  const at = tokens[1]?.text === 'foreign' ? 2 : 1;
  if (tokens[at]?.text !== 'table') return undefined;
  return qualifiedNameAt(tokens, tokens[at + 1]?.text === 'only' ? at + 2 : at + 1);
}

/** Reads `schema.table`, three tokens, at a place; pg_dump always qualifies names. */
export function qualifiedNameAt(tokens: readonly Token[], at: number): QualifiedName | undefined {
  const [schema, dot, table] = tokens.slice(at, at + 3);
  if (schema === undefined || table === undefined || dot?.text !== '.') return undefined;
  if (schema.kind === 'symbol' || table.kind === 'symbol') return undefined;
  return { schema: schema.text, table: table.text };
}
