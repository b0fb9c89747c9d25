import { qualifiedNameAt } from './restore/selection.ts';
import { readDump } from './server/dump-script.ts';
import { quoteIdentifier, quoteTable } from './server/identifiers.ts';
import type { Session } from './server/session.ts';
import { type Repair, type Statement, type Token, withRepairs } from './server/sql-text.ts';

/** Where YugabyteDB keeps the rows of a table or index: how many tablets it has, and with which relations it shares them. */
interface RelationPlacement {
  readonly schema: string;
  readonly table: string;
  /** `SPLIT INTO n TABLETS` or `SPLIT AT VALUES (…)`; null where the server splits nothing. */
  readonly split: string | null;
  readonly tablegroup: string | null;
  /** A table of a colocated database that has tablets of its own. */
  readonly apart: boolean;
  /** Its number among the relations that share its tablets; xCluster needs the same number on both sides. Null where it shares none. */
  readonly colocationId: string | null;
}

interface Tablegroup {
  readonly name: string;
  readonly owner: string;
  readonly tablespace: string | null;
  /** Roles that may create tables in it. */
  readonly grantees: readonly string[];
}

/** The tablegroups of a database, and where YugabyteDB keeps its tables and indexes. */
export interface Placement {
  readonly tablegroups: readonly Tablegroup[];
  readonly relations: readonly RelationPlacement[];
}

const NO_PLACEMENT: Placement = { tablegroups: [], relations: [] };

/** Whether the server has all functions and tables that describe placement. They came one by one (2.13 to 2.18). */
const KNOWN = `
  SELECT EXISTS (SELECT FROM pg_catalog.pg_proc WHERE proname = 'yb_table_properties') AND
    EXISTS (SELECT FROM pg_catalog.pg_proc WHERE proname = 'yb_get_range_split_clause') AND
    EXISTS (SELECT FROM pg_catalog.pg_proc WHERE proname = 'yb_is_database_colocated') AND
    EXISTS (SELECT FROM pg_catalog.pg_class WHERE relname = 'pg_yb_tablegroup') AS known`;

const TABLEGROUPS = `
  SELECT g.grpname AS name, pg_catalog.pg_get_userbyid(g.grpowner) AS owner, s.spcname AS tablespace,
    ARRAY(SELECT DISTINCT coalesce(r.rolname::text, 'public') FROM pg_catalog.aclexplode(g.grpacl) a
      LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee WHERE a.grantee <> g.grpowner) AS grantees
  FROM pg_catalog.pg_yb_tablegroup g LEFT JOIN pg_catalog.pg_tablespace s ON s.oid = g.grptablespace
  ORDER BY g.grpname`;

/** Decides as ysql_dump does with metadata (upstream pg_dump.c, getYbTablePropertiesAndReloptions). */
const RELATIONS = `
  SELECT n.nspname AS schema, c.relname AS table,
    CASE WHEN p.is_colocated OR p.num_tablets IS NULL OR c.relkind = 'p' THEN NULL
      WHEN p.num_hash_key_columns > 0 THEN format('SPLIT INTO %s TABLETS', p.num_tablets)
      WHEN p.num_tablets > 1 THEN nullif(pg_catalog.yb_get_range_split_clause(c.oid), '') END AS split,
    CASE WHEN c.relkind IN ('r', 'p') AND NOT pg_catalog.yb_is_database_colocated() THEN g.grpname END AS tablegroup,
    c.relkind IN ('r', 'm', 'p') AND pg_catalog.yb_is_database_colocated() AND NOT p.is_colocated AS apart,
    CASE WHEN p.is_colocated THEN to_jsonb(p) ->> 'colocation_id' END AS "colocationId"
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
  CROSS JOIN LATERAL pg_catalog.yb_table_properties(c.oid) p
  LEFT JOIN pg_catalog.pg_yb_tablegroup g ON g.oid = p.tablegroup_oid
  WHERE c.relkind IN ('r', 'm', 'i', 'p') AND c.relpersistence <> 't' AND i.indisprimary IS DISTINCT FROM true
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  ORDER BY n.nspname, c.relname`;

/**
 * Reads from the catalogue how the tables of the session's database are split and which of them share tablets. A dump without
 * YugabyteDB's metadata lacks this (M9 of upstream's expected dumps). Returns an empty placement, and calls `log`, when the server
 * can't describe it.
 */
export async function readPlacement(
  session: Session,
  log: (message: string, fields?: Readonly<Record<string, unknown>>) => void,
): Promise<Placement> {
  const [row] = await session.query<{ known: boolean }>('look how the server tells of tablets', KNOWN);
  if (row?.known !== true) {
    log('this version does not tell how tables are split: the backup leaves that to where it is restored', {
      database: session.database,
    });
    return NO_PLACEMENT;
  }
  const relations = await session.query<RelationPlacement>('read how tables are split', RELATIONS);
  const [colocated] = await session.query<{ colocated: boolean }>(
    'look whether the database is colocated',
    'SELECT pg_catalog.yb_is_database_colocated() AS colocated',
  );
  // A colocated database creates its tablegroups itself.
  const tablegroups =
    colocated?.colocated === true ? [] : await session.query<Tablegroup>('list the tablegroups', TABLEGROUPS);
  return { relations, tablegroups };
}

/** Returns a dump's script with a placement clause on each relation that it creates. In `pre-data` the tablegroups come first. Pure. */
export function withPlacement(
  script: string,
  placement: Placement,
  section: 'pre-data' | 'post-data',
): string {
  if (placement.relations.length === 0 && placement.tablegroups.length === 0) return script;
  const known = new Map(placement.relations.map((relation) => [quoteTable(relation), relation]));
  const edits: Repair[] = [];
  for (const entry of readDump(script).entries) {
    for (const statement of entry.statements) {
      const created = createdRelation(statement);
      const relation = created === undefined ? undefined : known.get(created);
      if (relation !== undefined) edits.push(...placed(statement, relation));
    }
  }
  edits.sort((one, other) => one.start - other.start);
  const text = withRepairs(script, edits);
  if (section === 'post-data' || placement.tablegroups.length === 0) return text;
  // Tablegroups come before the first object, and after the settings at the script's head.
  const first = readDump(text).entries[0]?.start ?? text.length;
  const start = text.slice(0, first).endsWith('--\n') ? first - 3 : first;
  return text.slice(0, start) + placement.tablegroups.map(tablegroupEntry).join('') + text.slice(start);
}

/** Returns the quoted name of the table, materialized view or index that a statement creates. An index is in the schema of its table. */
function createdRelation({ tokens }: Statement): string | undefined {
  if (tokens[0]?.text !== 'create') return undefined;
  const words = tokens.slice(1, 4).map(({ text }) => text);
  const table = words.indexOf('table');
  const view = words[0] === 'materialized' ? 1 : -1;
  if (table >= 0 || view >= 0) {
    const name = qualifiedNameAt(tokens, Math.max(table, view) + 2);
    return name === undefined ? undefined : quoteTable(name);
  }
  const index = words.indexOf('index');
  const on = tokens.findIndex(({ kind, text }) => kind === 'word' && text === 'on');
  if (index < 0 || on < 0) return undefined;
  const of = qualifiedNameAt(tokens, tokens[on + 1]?.text === 'only' ? on + 2 : on + 1);
  const name = tokens[on - 1];
  return of === undefined || name === undefined
    ? undefined
    : quoteTable({ schema: of.schema, table: name.text });
}

function placed(statement: Statement, placement: RelationPlacement): readonly Repair[] {
  const { split, tablegroup } = placement;
  const { tokens, end } = statement;
  const top = topLevel(tokens);
  const isTable = tokens[1]?.text !== 'unique' && !tokens.slice(1, 3).some(({ text }) => text === 'index');
  const partition = top.findIndex(({ text }) => text === 'partition');
  const isPartition = partition > 0 && top[partition + 1]?.text === 'of';
  // The clauses go before the query of a materialized view, and before the condition of an index.
  const before = top.find(({ text }, at) => at > 2 && (text === 'where' || text === 'as'));
  const place = before?.start ?? end;
  const edits: Repair[] = [];
  const clauses: string[] = [];
  // The `WITH (…)` of a partition's `FOR VALUES WITH (…)` holds no options.
  const options = top.findIndex(({ text }, at) => text === 'with' && top[at - 1]?.text !== 'values');
  const close = options < 0 ? undefined : closing(tokens, top[options]);
  const option = colocationOption(placement);
  if (option !== undefined && close !== undefined)
    edits.push({ start: close.start, end: close.start, with: `, ${option}` });
  else if (option !== undefined) clauses.push(`WITH (${option})`);
  if (tablegroup !== null && isTable) clauses.push(`TABLEGROUP ${quoteIdentifier(tablegroup)}`);
  // A partitioned table has no rows of its own.
  const isDivided = isTable && partition > 0 && !isPartition;
  if (split !== null && tokens[1]?.text !== 'materialized' && !isDivided) clauses.push(split);
  if (clauses.length === 0) return edits;
  const text = isTable ? clauses.map((clause) => `\n${clause}`).join('') : ` ${clauses.join(' ')}`;
  return [...edits, { start: place, end: place, with: before === undefined ? text : `${text.trimStart()} ` }];
}

/** The option as ysql_dump writes it with metadata (upstream's expected dump of a colocated database). */
function colocationOption({ apart, colocationId }: RelationPlacement): string | undefined {
  if (apart) return "colocation='false'";
  return colocationId === null ? undefined : `colocation_id='${colocationId}'`;
}

/** Returns the words outside of parentheses. */
function topLevel(tokens: readonly Token[]): readonly Token[] {
  let depth = 0;
  return tokens.filter((token) => {
    if (token.kind === 'symbol' && token.text === '(') depth += 1;
    if (token.kind === 'symbol' && token.text === ')') depth -= 1;
    return depth === 0 && token.kind === 'word';
  });
}

/** Returns the parenthesis that closes the list after a word. */
function closing(tokens: readonly Token[], word: Token | undefined): Token | undefined {
  const from = word === undefined ? -1 : tokens.indexOf(word);
  if (from < 0 || tokens[from + 1]?.text !== '(') return undefined;
  let depth = 0;
  for (const token of tokens.slice(from + 1)) {
    if (token.kind !== 'symbol') continue;
    if (token.text === '(') depth += 1;
    if (token.text === ')') depth -= 1;
    if (depth === 0) return token;
  }
  return undefined;
}

function tablegroupEntry({ name, owner, tablespace, grantees }: Tablegroup): string {
  const group = quoteIdentifier(name);
  const flat = (text: string) => text.replaceAll(/[\r\n]/g, ' ');
  const space = tablespace === null ? '' : quoteIdentifier(tablespace);
  const header = (tag: string, type: string) =>
    `--\n-- Name: ${flat(tag)}; Type: ${type}; Schema: -; Owner: ${flat(owner)}\n--\n\n`;
  const grants = grantees.map(
    (role) =>
      `GRANT CREATE ON TABLEGROUP ${group} TO ${role === 'public' ? 'PUBLIC' : quoteIdentifier(role)};\n`,
  );
  return (
    `SET default_tablespace = ${space === '' ? "''" : space};\n\n${header(name, 'TABLEGROUP')}CREATE TABLEGROUP ${group};\n\n\n` +
    `ALTER TABLEGROUP ${group} OWNER TO ${quoteIdentifier(owner)};\n\nSET default_tablespace = '';\n\n` +
    (grants.length === 0 ? '' : `${header(`TABLEGROUP ${name}`, 'ACL')}${grants.join('')}\n\n`)
  );
}

/** Returns the statement without its placement clauses, or its text as it is where it has none. Pure. */
export function withoutPlacement(statement: Statement): string {
  const { text, tokens, start } = statement;
  if (createdRelation(statement) === undefined) return text;
  const cuts: Repair[] = [];
  const cut = (from: Token, to: Token) =>
    cuts.push({ start: from.start - start, end: to.end - start, with: '' });
  for (const word of topLevel(tokens)) {
    const at = tokens.indexOf(word);
    if (word.text === 'tablegroup' && tokens[at + 1] !== undefined) cut(word, tokens[at + 1] ?? word);
    if (word.text === 'split' && tokens[at + 1]?.text === 'into') cut(word, tokens[at + 3] ?? word);
    if (word.text === 'split' && tokens[at + 1]?.text === 'at') {
      cut(word, closing(tokens, tokens[at + 2]) ?? word);
    }
    const close = word.text === 'with' ? closing(tokens, word) : undefined;
    if (close !== undefined) cuts.push(...withoutColocation(tokens, at, close, start));
  }
  return withRepairs(text, cuts);
}

const COLOCATION_OPTIONS: ReadonlySet<string> = new Set(['colocation', 'colocated', 'colocation_id']);

/** Returns the cuts that remove `colocation='false'` and `colocation_id='…'` from `WITH (…)`. */
function withoutColocation(
  tokens: readonly Token[],
  at: number,
  close: Token,
  start: number,
): readonly Repair[] {
  const word = tokens[at];
  const options: Token[][] = [[]];
  for (const token of tokens.slice(at + 2, tokens.indexOf(close))) {
    if (token.kind === 'symbol' && token.text === ',') options.push([]);
    else options.at(-1)?.push(token);
  }
  const isOwn = ([name]: readonly Token[]) => name?.kind === 'word' && COLOCATION_OPTIONS.has(name.text);
  const own = options.findIndex(isOwn);
  if (own < 0 || word === undefined) return [];
  if (options.every(isOwn)) return [{ start: word.start - start, end: close.end - start, with: '' }];
  return options.flatMap((option, place): Repair[] => {
    const [first] = option;
    const last = option.at(-1);
    if (!isOwn(option) || first === undefined || last === undefined) return [];
    // Cut the option with the comma before it. Where all options before it are cut too, cut it with the comma after it.
    const isLeading = options.slice(0, place).every(isOwn);
    const from = isLeading ? first.start : (options[place - 1]?.at(-1)?.end ?? first.start);
    const to = isLeading ? (options[place + 1]?.[0]?.start ?? last.end) : last.end;
    return [{ start: from - start, end: to - start, with: '' }];
  });
}

/** Returns `CREATE DATABASE` without the option that makes its tables share tablets, so that the target decides. Pure. */
export function withoutColocatedDatabase(statement: Statement): Statement {
  const { text, tokens, start } = statement;
  const at = tokens.findIndex(
    ({ kind, text: word }, place) =>
      place > 2 && kind === 'word' && (word === 'colocation' || word === 'colocated'),
  );
  const [option, equals, value] = tokens.slice(at, at + 3);
  if (at < 0 || option === undefined || equals?.text !== '=' || value === undefined) return statement;
  const cut = { start: option.start - start, end: value.end - start, with: '' };
  return { ...statement, text: withRepairs(text, [cut]) };
}

/** True when an entry describes only a tablegroup. */
export function isOfTablegroup(entry: {
  readonly type: string;
  readonly name: string;
  readonly schema: string | undefined;
}): boolean {
  if (entry.type === 'TABLEGROUP') return true;
  return entry.type === 'ACL' && entry.schema === undefined && entry.name.startsWith('TABLEGROUP ');
}
