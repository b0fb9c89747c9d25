import { identifier, type Statement, type Token } from './sql.ts';

/**
 * Tables in which the stand-in stores what PostgreSQL can't: splits, tablegroups, colocation (M9 of the facts on the programs).
 * They are in `information_schema`, which dumps leave out together with its privileges.
 */
export const PLACEMENT_STORE = `
  CREATE TABLE information_schema.yb_placement (relation oid PRIMARY KEY, tablets bigint, clause text, tablegroup oid);
  CREATE TABLE information_schema.yb_colocated (colocated boolean);
  CREATE TABLE information_schema.yb_colocation (relation oid PRIMARY KEY, apart boolean, id bigint);
  CREATE TABLE information_schema.yb_keys (relation oid PRIMARY KEY, key text);
  CREATE TABLE information_schema.pg_yb_tablegroup (oid oid, grpname name, grpowner oid, grpacl aclitem[], grpoptions text[], grptablespace oid);
  GRANT SELECT ON information_schema.yb_placement, information_schema.pg_yb_tablegroup, information_schema.yb_colocated, information_schema.yb_colocation, information_schema.yb_keys TO PUBLIC;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_place(relation text, tablets bigint, clause text, tablegroup name) RETURNS void
    LANGUAGE sql SECURITY DEFINER AS $$
      DELETE FROM information_schema.yb_placement p WHERE p.relation = $1::regclass;
      INSERT INTO information_schema.yb_placement SELECT $1::regclass, $2, $3,
        (SELECT oid FROM information_schema.pg_yb_tablegroup WHERE grpname = $4) $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_colocate(relation text, apart boolean, id bigint) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    DELETE FROM information_schema.yb_colocation c WHERE c.relation = $1::regclass;
    INSERT INTO information_schema.yb_colocation VALUES ($1::regclass, $2, $3) $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_note_key(relation text, key text) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    DELETE FROM information_schema.yb_keys k WHERE k.relation = $1::regclass;
    INSERT INTO information_schema.yb_keys VALUES ($1::regclass, $2) $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_make_tablegroup(name name) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    INSERT INTO information_schema.pg_yb_tablegroup
      SELECT coalesce(max(oid::bigint), 20000)::bigint::oid, $1, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user), NULL, NULL, 0
      FROM (SELECT max(g.oid::bigint) + 1 AS oid FROM information_schema.pg_yb_tablegroup g) g $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_own_tablegroup(name name, owner name) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    UPDATE information_schema.pg_yb_tablegroup SET grpowner = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $2) WHERE grpname = $1 $$;
`;

/** Returns the name of the database when a statement creates a colocated one: `CREATE DATABASE x WITH colocation = true`. */
export function colocatedDatabase({ tokens }: Statement): string | undefined {
  const [first, second, name] = tokens;
  if (first?.text !== 'create' || second?.text !== 'database') return undefined;
  const option = tokens.findIndex(
    ({ kind, text }, at) => at > 2 && kind === 'word' && (text === 'colocation' || text === 'colocated'),
  );
  const value = tokens.slice(option + 1, option + 3).find(({ text }) => text !== '=');
  return option > 0 && value?.text === 'true' ? identifier(name) : undefined;
}

/** Returns the SQL statements by which the stand-in records a successful statement; empty when there is nothing to record. */
export function placementNotes(statement: Statement): readonly string[] {
  const { sql, tokens } = statement;
  const split = placementNote(statement);
  const name = tokens[0]?.text === 'create' ? created(sql, tokens) : undefined;
  if (name === undefined) return split === undefined ? [] : [split];
  const key = writtenKey(sql, tokens);
  const colocation = colocationOf(tokens);
  return [
    ...(split === undefined ? [] : [split]),
    ...(key === undefined ? [] : [`SELECT pg_catalog.yb_note_key(${literal(name)}, ${literal(key)})`]),
    ...(colocation === undefined
      ? []
      : [`SELECT pg_catalog.yb_colocate(${literal(name)}, ${colocation.apart}, ${colocation.id ?? 'NULL'})`]),
  ];
}

/** Returns the columns of `PRIMARY KEY (…)` as written, when they state an order. */
function writtenKey(sql: string, tokens: readonly Token[]): string | undefined {
  if (!tokens.slice(0, 4).some(({ text }) => text === 'table')) return undefined;
  const key = tokens.findIndex(
    ({ kind, text }, at) => kind === 'word' && text === 'key' && tokens[at - 1]?.text === 'primary',
  );
  const open = tokens[key + 1];
  if (key < 0 || open?.text !== '(') return undefined;
  const end = endOfList(tokens, key + 1);
  const inside = tokens.filter(({ start, end: to }) => start > open.start && to < end);
  const says = inside.some(({ kind, text }) => kind === 'word' && ['hash', 'asc', 'desc'].includes(text));
  return says ? sql.slice(open.end, end - 1).trim() : undefined;
}

/** Reads `WITH (colocation = false)` and `WITH (colocation_id = n)`. */
function colocationOf(
  tokens: readonly Token[],
): { readonly apart: boolean; readonly id: string | undefined } | undefined {
  const value = (option: string) => {
    const at = tokens.findIndex(({ kind, text }, index) => kind === 'word' && text === option && index > 2);
    return tokens[at + 1]?.text === '=' ? tokens[at + 2]?.text.replaceAll("'", '') : undefined;
  };
  const [colocation, id] = [value('colocation') ?? value('colocated'), value('colocation_id')];
  if (colocation === undefined && id === undefined) return undefined;
  return { apart: colocation === 'false', id };
}

function placementNote({ sql, tokens }: Statement): string | undefined {
  const [first, second, third] = tokens;
  const group = identifier(third);
  if (second?.text === 'tablegroup' && group !== undefined) {
    if (first?.text === 'create') return `SELECT pg_catalog.yb_make_tablegroup(${literal(group)})`;
    const owner = identifier(tokens[5]);
    if (first?.text !== 'alter' || tokens[3]?.text !== 'owner' || owner === undefined) return undefined;
    return `SELECT pg_catalog.yb_own_tablegroup(${literal(group)}, ${literal(owner)})`;
  }
  if (first?.text !== 'create') return undefined;
  const split = tokens.findIndex(
    ({ text }, at) => text === 'split' && ['into', 'at'].includes(tokens[at + 1]?.text ?? ''),
  );
  const inGroup = tokens.findIndex(
    ({ kind, text }, at) => at > 2 && kind === 'word' && text === 'tablegroup',
  );
  const name = created(sql, tokens);
  if ((split < 0 && inGroup < 0) || name === undefined) return undefined;
  const isRange = tokens[split + 1]?.text === 'at';
  const clause = isRange ? sql.slice(tokens[split]?.start, endOfList(tokens, split + 3)) : undefined;
  const tablets = split < 0 ? 1 : isRange ? 2 : Number(tokens[split + 2]?.text);
  const of = inGroup < 0 ? undefined : identifier(tokens[inGroup + 1]);
  const text = (value: string | undefined) => (value === undefined ? 'NULL' : literal(value));
  return `SELECT pg_catalog.yb_place(${literal(name)}, ${tablets}, ${text(clause)}, ${text(of)})`;
}

/** Returns the created relation as written; an index with the schema of its table. */
function created(sql: string, tokens: readonly Token[]): string | undefined {
  const table = tokens.findIndex(
    ({ text }, at) =>
      at < 4 && (text === 'table' || (text === 'view' && tokens[at - 1]?.text === 'materialized')),
  );
  const written = (at: number) => {
    const qualified = tokens[at + 1]?.text === '.';
    return sql.slice(tokens[at]?.start, tokens[qualified ? at + 2 : at]?.end);
  };
  if (table > 0) return written(table + 1);
  const on = tokens.findIndex(({ text }) => text === 'on');
  const index = tokens[on - 1];
  if (on < 0 || index === undefined) return undefined;
  const of = tokens[on + 1]?.text === 'only' ? on + 2 : on + 1;
  const schema = tokens[of + 1]?.text === '.' ? `${sql.slice(tokens[of]?.start, tokens[of]?.end)}.` : '';
  return schema + sql.slice(index.start, index.end);
}

function endOfList(tokens: readonly Token[], open: number): number {
  let depth = 0;
  for (const token of tokens.slice(open)) {
    if (token.text === '(') depth += 1;
    if (token.text === ')') depth -= 1;
    if (depth === 0) return token.end;
  }
  return tokens.at(-1)?.end ?? 0;
}

function literal(text: string): string {
  const escaped = text.replaceAll("'", "''");
  return text.includes('\\') ? `E'${escaped.replaceAll('\\', '\\\\')}'` : `'${escaped}'`;
}
