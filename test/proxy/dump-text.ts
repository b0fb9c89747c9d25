import type { ClientLine } from './client-lines.ts';
import { COLUMN_ORDERS, indexColumns } from './dump-keys.ts';
import { type Piece, type PieceStatement, pieces, sameName } from './dump-pieces.ts';
import { identifier, type Token } from './sql.ts';

/** The options of an `ysql_dump` run that change its text. */
export interface DumpRequest {
  /** `--include-yb-metadata`. */
  readonly metadata: boolean;
  /** `--dump-role-checks`. */
  readonly roleChecks: boolean;
  /** False with `--no-statistics`, `--data-only` or a line that dumps none. */
  readonly statistics: boolean;
  /** Requested sections; all three when `--section` isn't given. */
  readonly sections: readonly ('pre-data' | 'data' | 'post-data')[];
}

/**
 * What YugabyteDB knows about a database's relations and PostgreSQL doesn't. Relations are keyed by `schema.name`, without quotes and with spaces for
 * line breaks.
 */
export interface DumpedPlacement {
  readonly colocated: boolean;
  /** The columns of primary keys that were created with orders. */
  readonly keys: Readonly<Record<string, string>>;
  /** Tables of a colocated database that have their own tablets. */
  readonly apart: readonly string[];
  /** Colocation ids of tables and indexes. */
  readonly ids: Readonly<Record<string, string>>;
}

export const NOT_PLACED: DumpedPlacement = { colocated: false, keys: {}, apart: [], ids: {} };

const WHOLE: DumpRequest = {
  metadata: false,
  roleChecks: false,
  statistics: false,
  sections: ['pre-data', 'data', 'post-data'],
};

/**
 * Rewrites a plain script of `pg_dump` as `ysql_dump` of the line writes it. Pure. Needs the whole script, whatever sections are
 * requested: ysql_dump writes a primary key into CREATE TABLE, which is in another section than pg_dump's.
 */
export function asYsqlDump(
  script: string,
  line: ClientLine,
  request: DumpRequest = WHOLE,
  placement: DumpedPlacement = NOT_PLACED,
): string {
  const rows: string[] = [];
  const withoutRows = request.sections.includes('data')
    ? script.replaceAll(
        /^COPY .* FROM stdin;\n[\s\S]*?^\\\.$/gm,
        (block) => `copied_rows_${rows.push(block) - 1};`,
      )
    : script;
  const own = line.major === 11 ? withoutLocaleProvider(withoutRows) : withoutRows;
  return rewritten(own, line, request, placement).replaceAll(
    /^copied_rows_(\d+);$/gm,
    (_, number) => rows[Number(number)] ?? '',
  );
}

/** Removes locale providers, since PostgreSQL 11 has only one. */
function withoutLocaleProvider(script: string): string {
  return script
    .replaceAll(/ LOCALE_PROVIDER = libc LOCALE = ('(?:[^']|'')*')/g, ' LC_COLLATE = $1 LC_CTYPE = $1')
    .replaceAll(/ LOCALE_PROVIDER = libc/g, '');
}

function rewritten(
  script: string,
  line: ClientLine,
  request: DumpRequest,
  placement: DumpedPlacement,
): string {
  const { head, pieces: all, tail } = pieces(script);
  const keys = primaryKeys(all, placement);
  const partitions = line.partitionOf ? attachments(all) : new Map<string, PieceStatement>();
  const attachedIndexes = new Set(
    all.filter(({ type }) => type === 'INDEX ATTACH').map(({ schema, name }) => `${schema}.${name}`),
  );
  const partitioned = new Set(
    all
      .filter(
        ({ type, statements: [first] }) => type === 'TABLE' && /\bPARTITION BY\b/.test(first?.sql ?? ''),
      )
      .map(nameOf),
  );
  const written = all.flatMap((piece): Piece[] => {
    if (piece.type === 'TABLE') return [withKey(piece, keys, partitions, line, request, placement)];
    if (piece.type === 'TABLE ATTACH' && partitions.has(nameOf(piece))) return [];
    if (piece.type === 'INDEX ATTACH' && line.partitionOf && keys.has(ownerOfKey(piece, keys))) return [];
    if (piece.type === 'CONSTRAINT') {
      if (isPrimaryKey(piece)) return [];
      return [asTwoStatements(piece, line, request, partitioned, attachedIndexes, placement)];
    }
    // ysql_dump stops early at `contype == 'p'` and so loses the comment of a primary key (R20 of the facts on the programs).
    if (piece.type === 'COMMENT' && isOfPrimaryKey(piece, keys)) return [];
    if (piece.type === 'INDEX') return [withLsm(piece, request, placement)];
    if (piece.type === 'DATABASE') return [withColocation(piece, placement)];
    return [piece];
  });
  const parts = inOrder(written, partitions, line).filter((piece) =>
    request.sections.includes(piece.section),
  );
  const statistics = request.statistics && request.sections.includes('post-data') ? statisticsOf(all) : '';
  // ysql_dump also sets the tablespace before the first object of a section.
  const first =
    request.sections.includes('pre-data') || parts.length === 0 ? '' : "SET default_tablespace = '';\n\n";
  const text = first + parts.map((piece) => textOf(piece, line, request)).join('') + statistics;
  return framed(withProgram(head, line, request), text, tail, line, request);
}

/** Rewrites a script of `pg_dumpall` as `ysql_dumpall` of the line writes it. Pure. A tablespace of YugabyteDB is no folder. */
export function asYsqlDumpall(script: string, _line: ClientLine): string {
  return script.replaceAll(/ LOCATION 'pg_tblspc[^']*'/g, " LOCATION ''");
}

function nameOf({ schema, name }: Piece): string {
  return `${schema}.${name}`;
}

interface Key {
  readonly constraint: string;
  /** As written, without quotes. */
  readonly name: string;
  readonly text: string;
}

function isPrimaryKey({ statements: [first] }: Piece): boolean {
  const tokens = first?.tokens ?? [];
  const at = tokens.findIndex(
    ({ text }, index) => text === 'constraint' && tokens[index - 1]?.text === 'add',
  );
  return at > 0 && tokens[at + 2]?.text === 'primary';
}

/** Fact `dump.colocation`. */
function withColocation(piece: Piece, { colocated }: DumpedPlacement): Piece {
  const [create, ...others] = piece.statements;
  if (!colocated || create === undefined) return piece;
  return { ...piece, statements: [{ ...create, sql: `${create.sql} colocation = true` }, ...others] };
}

/** Whether a table's keys are hashed by default. */
function isHashed(table: string, { colocated, apart }: DumpedPlacement): boolean {
  return !colocated || apart.includes(table);
}

/** Returns by table: `CONSTRAINT name PRIMARY KEY((a) HASH, b ASC)` (fact `dump.primary-key`). */
function primaryKeys(all: readonly Piece[], placement: DumpedPlacement): ReadonlyMap<string, Key> {
  const found = new Map<string, Key>();
  for (const piece of all) {
    const [first] = piece.statements;
    if (piece.type !== 'CONSTRAINT' || first === undefined || !isPrimaryKey(piece)) continue;
    const { sql, tokens } = first;
    const at = tokens.findIndex(
      ({ text }, index) => text === 'constraint' && tokens[index - 1]?.text === 'add',
    );
    const constraint = tokens[at + 1];
    const open = tokens[at + 4];
    if (constraint === undefined || open === undefined) continue;
    const table = qualified(tokens, tokens.findIndex(({ text }) => text === 'only') + 1);
    const { columns, rest } = indexColumns(sql, tokens, at + 4);
    const [hashed = '', ...ranged] = columns;
    const leading = isHashed(table, placement) ? `(${hashed}) HASH` : `${hashed} ASC`;
    const list = placement.keys[table] ?? [leading, ...ranged.map((column) => `${column} ASC`)].join(', ');
    found.set(table, {
      constraint: constraint.text,
      name: identifier(constraint) ?? '',
      text: `CONSTRAINT ${sql.slice(constraint.start, constraint.end)} PRIMARY KEY(${list})${rest}`,
    });
  }
  return found;
}

/** Reads `schema.table` at a place, without quotes, as a header has it. */
function qualified(tokens: readonly Token[], at: number): string {
  return `${identifier(tokens[at])}.${identifier(tokens[at + 2])}`.replaceAll(/[\r\n]/g, ' ');
}

/** Returns the table whose primary key an INDEX ATTACH attaches. */
function ownerOfKey(piece: Piece, keys: ReadonlyMap<string, Key>): string {
  for (const [table, key] of keys) {
    if (sameName(key.name, piece.name) && table.startsWith(`${piece.schema}.`)) return table;
  }
  return '';
}

function isOfPrimaryKey({ statements: [first] }: Piece, keys: ReadonlyMap<string, Key>): boolean {
  const tokens = first?.tokens ?? [];
  if (tokens[2]?.text !== 'constraint') return false;
  return keys.get(qualified(tokens, 5))?.name === identifier(tokens[3]);
}

/** Returns by child: `ALTER TABLE ONLY parent ATTACH PARTITION child FOR VALUES …`. */
function attachments(all: readonly Piece[]): Map<string, PieceStatement> {
  return new Map(
    all.flatMap((piece) => {
      const [first] = piece.statements;
      return piece.type === 'TABLE ATTACH' && first !== undefined ? [[nameOf(piece), first] as const] : [];
    }),
  );
}

function withKey(
  piece: Piece,
  keys: ReadonlyMap<string, Key>,
  partitions: ReadonlyMap<string, PieceStatement>,
  line: ClientLine,
  request: DumpRequest,
  placement: DumpedPlacement,
): Piece {
  const [create, ...others] = piece.statements;
  if (create === undefined) return piece;
  const table = create.tokens.findIndex(({ text }) => text === 'table');
  const key = keys.get(qualified(create.tokens, table + 1));
  const attachment = partitions.get(nameOf(piece));
  const sql = attachment === undefined ? withinColumns(create, key?.text) : asPartition(create, attachment);
  const name = nameOf(piece);
  const isSplit =
    request.metadata && line.name !== '2.18' && attachment === undefined && isHashed(name, placement);
  const id = placement.ids[name];
  const options = placement.apart.includes(name)
    ? "\nWITH (colocation='false')"
    : id === undefined
      ? ''
      : `\nWITH (colocation_id='${id}')`;
  const split = (request.metadata ? options : '') + (isSplit ? splitClause(sql) : '');
  return { ...piece, statements: [{ sql: sql + split, tokens: create.tokens }, ...others] };
}

function splitClause(sql: string): string {
  return /\bPARTITION BY\b/.test(sql) ? '' : '\nSPLIT INTO 3 TABLETS';
}

/** Adds a line to the columns of CREATE TABLE. */
function withinColumns({ sql, tokens }: PieceStatement, line: string | undefined): string {
  if (line === undefined) return sql;
  const open = tokens.findIndex(({ text }) => text === '(');
  let depth = 0;
  for (const token of tokens.slice(open)) {
    if (token.text === '(') depth += 1;
    if (token.text === ')') depth -= 1;
    if (depth !== 0) continue;
    const before = sql.slice(0, token.start).trimEnd();
    return `${before}${before.endsWith('(') ? '' : ','}\n    ${line}\n${sql.slice(token.start)}`;
  }
  return sql;
}

/** Fact `dump.partition-of`. */
function asPartition({ sql, tokens }: PieceStatement, attachment: PieceStatement): string {
  const open = tokens.find(({ text }) => text === '(');
  const partition = attachment.tokens.findIndex(({ text }) => text === 'partition');
  const child = attachment.tokens[partition + 3];
  const parent = attachment.tokens.slice(3, 6);
  const by = tokens.findIndex(({ text }, at) => text === 'partition' && tokens[at + 1]?.text === 'by');
  const own = by < 0 ? '' : `\n${sql.slice(tokens[by]?.start)}`;
  const bounds = attachment.sql.slice(child?.end).trim();
  const of = attachment.sql.slice(parent[0]?.start, parent[2]?.end);
  return `${sql.slice(0, open?.start).trimEnd()} PARTITION OF ${of}\n${bounds}${own}`;
}

/** Orders pieces so that a partition comes after its parent. */
function inOrder(
  all: readonly Piece[],
  partitions: ReadonlyMap<string, PieceStatement>,
  line: ClientLine,
): readonly Piece[] {
  if (!line.partitionOf) return all;
  const ordered: Piece[] = [];
  const waiting = new Map<string, Piece[]>();
  const there = new Set<string>();
  const put = (piece: Piece) => {
    ordered.push(piece);
    if (piece.type !== 'TABLE') return;
    there.add(nameOf(piece));
    for (const child of waiting.get(nameOf(piece)) ?? []) put(child);
  };
  for (const piece of all) {
    const attachment = piece.type === 'TABLE' ? partitions.get(nameOf(piece)) : undefined;
    const parent = attachment === undefined ? undefined : qualified(attachment.tokens, 3);
    if (parent === undefined || there.has(parent)) put(piece);
    else waiting.set(parent, [...(waiting.get(parent) ?? []), piece]);
  }
  return ordered;
}

/** Facts `dump.unique` and `dump.using-index`. */
function asTwoStatements(
  piece: Piece,
  line: ClientLine,
  request: DumpRequest,
  partitioned: ReadonlySet<string>,
  attachedIndexes: ReadonlySet<string>,
  placement: DumpedPlacement,
): Piece {
  const [first, ...others] = piece.statements;
  if (first === undefined) return piece;
  const { sql, tokens } = first;
  const at = tokens.findIndex(
    ({ text }, index) => text === 'constraint' && tokens[index - 1]?.text === 'add',
  );
  const name = tokens[at + 1];
  if (name === undefined || tokens[at + 2]?.text !== 'unique') return piece;
  const table = tokens.slice(3, 6);
  const isOfPartitioned =
    partitioned.has(qualified(tokens, 3)) || attachedIndexes.has(`${piece.schema}.${identifier(name)}`);
  if (isOfPartitioned) return piece;
  const open = tokens.findIndex((token, index) => index > at && token.text === '(');
  const { columns, rest } = indexColumns(sql, tokens, open);
  const nulls = /^ NULLS NOT DISTINCT/.exec(sql.slice(tokens[at + 2]?.end))?.[0] ?? '';
  const deferral = /\s(?:NOT )?DEFERRABLE[\s\S]*$/.exec(rest)?.[0] ?? '';
  const included = rest.slice(0, rest.length - deferral.length);
  const on = sql.slice(table[0]?.start, table[2]?.end);
  const quoted = sql.slice(name.start, name.end);
  const hashed = isHashed(qualified(tokens, 3), placement);
  const split = request.metadata ? placedIndex(`${piece.schema}.${identifier(name)}`, hashed, placement) : '';
  const index =
    `CREATE UNIQUE INDEX NONCONCURRENTLY ${quoted} ON ${on} USING lsm (${withOrders(columns, hashed)})` +
    `${included}${nulls}${split}`;
  const constraint =
    `ALTER TABLE ONLY ${on}\n    ADD CONSTRAINT ${quoted} UNIQUE USING INDEX ` +
    `${line.quotesUsingIndex ? quoted : identifier(name)}${deferral}`;
  return {
    ...piece,
    statements: [{ sql: index, tokens: [] }, { sql: constraint, tokens: [] }, ...others],
  };
}

/** Returns ` SPLIT INTO 3 TABLETS`, or the colocation id of an index without its own tablets. */
function placedIndex(name: string, hashed: boolean, { ids }: DumpedPlacement): string {
  if (hashed) return ' SPLIT INTO 3 TABLETS';
  return ids[name] === undefined ? '' : ` WITH (colocation_id=${ids[name]})`;
}

/** Adds an order to columns that state none: the first column is hashed where its table's keys are; the others ascend. */
function withOrders(columns: readonly string[], hashed: boolean): string {
  return columns
    .map((column, at) => (COLUMN_ORDERS.test(column) ? column : ordered(column, hashed && at === 0)))
    .join(', ');
}

/** The order precedes the NULLS clause, which a hashed column can't have. */
function ordered(column: string, hashed: boolean): string {
  const [nulls] = / NULLS (?:FIRST|LAST)$/.exec(column) ?? [];
  if (nulls === undefined) return `${column} ${hashed ? 'HASH' : 'ASC'}`;
  return `${column.slice(0, -nulls.length)} ASC${nulls}`;
}

function withLsm(piece: Piece, request: DumpRequest, placement: DumpedPlacement): Piece {
  const [first, ...others] = piece.statements;
  if (first === undefined) return piece;
  const { sql, tokens } = first;
  const using = tokens.findIndex(({ text }, at) => text === 'using' && tokens[at + 1]?.text === 'btree');
  const index = tokens.find(({ text }) => text === 'index');
  const start = tokens[using];
  if (start === undefined || index === undefined) return piece;
  const { columns, rest } = indexColumns(sql, tokens, using + 2);
  const concurrency = request.metadata ? ' NONCONCURRENTLY' : '';
  const on = tokens.findIndex(({ text }) => text === 'on');
  const hashed = isHashed(qualified(tokens, tokens[on + 1]?.text === 'only' ? on + 2 : on + 1), placement);
  const isPlaced = request.metadata && !/ ONLY /.test(sql.slice(0, start.start));
  const split = isPlaced ? placedIndex(nameOf(piece), hashed, placement) : '';
  const where = / WHERE /.exec(rest)?.index ?? rest.length;
  const text =
    `${sql.slice(0, index.end)}${concurrency}${sql.slice(index.end, start.start)}USING lsm (${withOrders(columns, hashed)})` +
    `${rest.slice(0, where)}${split}${rest.slice(where)}`;
  return { ...piece, statements: [{ sql: text, tokens: [] }, ...others] };
}

/** Writes statistics of tables and indexes as pg_dump 18 does; source: expected output of `yb_ysql_dump_with_dump_role_checks`, 2.25.2. */
function statisticsOf(all: readonly Piece[]): string {
  return all
    .filter(({ type }) => type === 'TABLE' || type === 'INDEX')
    .map(
      ({ schema, name, owner }) =>
        `--\n-- Statistics for Name: ${name}; Type: STATISTICS DATA; Schema: ${schema}; Owner: ${owner === '' ? '-' : owner}\n--\n\n` +
        `SELECT * FROM pg_catalog.pg_restore_relation_stats(\n\t'version', '150012'::integer,\n\t'schemaname', ${string(schema)},\n` +
        `\t'relname', ${string(name)},\n\t'relpages', '0'::integer,\n\t'reltuples', '-1'::real,\n\t'relallvisible', '0'::integer\n);\n\n\n`,
    )
    .join('');
}

function string(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

const OWNER_STATEMENT = /^ALTER [\s\S]* OWNER TO (?<owner>[\s\S]*)$/;

function textOf(piece: Piece, line: ClientLine, request: DumpRequest): string {
  const guards = request.metadata && line.major === 15;
  const write = ({ sql }: PieceStatement): string => {
    if (!guards) return `${sql};\n`;
    const owner = OWNER_STATEMENT.exec(sql)?.groups?.owner;
    const isGrant = piece.type === 'ACL';
    if (owner === undefined && !isGrant) return `${sql};\n`;
    const roles = owner === undefined ? [] : [owner];
    return guarded(line, 'use_roles', checked(`${sql};\n`, roles, request));
  };
  const oids =
    request.metadata && piece.type === 'TABLE'
      ? "\n-- For binary upgrade, must preserve pg_class oids and relfilenodes\nSELECT pg_catalog.binary_upgrade_set_next_heap_pg_class_oid('16546'::pg_catalog.oid);\n" +
        "SELECT pg_catalog.binary_upgrade_set_next_heap_relfilenode('16546'::pg_catalog.oid);\n\n"
      : '';
  const settings = piece.settings
    .map((setting) =>
      guards && setting.startsWith('SET default_tablespace')
        ? guarded(line, 'use_tablespaces', `    ${setting};\n`)
        : `${settingOf(setting, line)};\n\n`,
    )
    .join('');
  return `${settings}${piece.header}${oids}${piece.statements.map(write).join('\n\n')}\n\n`;
}

function settingOf(setting: string, { major }: ClientLine): string {
  return major === 11 && setting.startsWith('SET default_table_access_method')
    ? 'SET default_with_oids = false'
    : setting;
}

function guarded(line: ClientLine, variable: string, text: string): string {
  const [off, on] = line.restrict ? [`\\unrestrict ${KEY}\n`, `\\restrict ${KEY}\n`] : ['', ''];
  return `${off}\\if :${variable}\n${on}${text}${off}\\endif\n${on}`;
}

/** Guards a statement by a role check; source: expected output of `yb_ysql_dump_with_dump_role_checks`. */
function checked(text: string, roles: readonly string[], { roleChecks }: DumpRequest): string {
  if (!roleChecks || roles.length === 0) return text;
  const names = roles.map((role) => (role.startsWith('"') ? role.slice(1, -1).replaceAll('""', '"') : role));
  const question = names.map((name) => `EXISTS(SELECT 1 FROM pg_roles WHERE rolname = ${string(name)})`);
  return (
    `SELECT ${question.join(' AND ')} AS role_exists \\gset\n\\if :role_exists\n    ${text}` +
    `\\else\n    \\echo 'Skipping owner privilege due to missing role:' ${roles.join(" 'OR' ")}\n\\endif\n`
  );
}

const KEY = 'standinKey';

/** Adds the settings of a dump with metadata, and the variables that a caller may set (fact `dump.preamble`). */
function withProgram(head: string, line: ClientLine, { metadata }: DumpRequest): string {
  const named = head
    .replace('-- PostgreSQL database dump', '-- YSQL database dump')
    .replaceAll('pg_dump', 'ysql_dump');
  if (!metadata) return named;
  const oids = line.major === 11 ? '' : 'SET yb_ignore_pg_class_oids = false;\n';
  return named.replace(
    /^SET statement_timeout = 0;\n/m,
    `SET yb_binary_restore = true;\n${oids}SET yb_non_ddl_txn_for_sys_tables_allowed = true;\nSET statement_timeout = 0;\n`,
  );
}

function framed(
  head: string,
  text: string,
  tail: string,
  line: ClientLine,
  { metadata }: DumpRequest,
): string {
  const variables =
    metadata && line.major === 15
      ? ['use_tablespaces', 'use_roles']
          .map((name) => {
            const [off, on] = line.restrict ? [`\\unrestrict ${KEY}\n`, `\\restrict ${KEY}\n`] : ['', ''];
            return `-- Set variable ${name} (if not already set)\n${off}\\if :{?${name}}\n\\else\n\\set ${name} true\n\\endif\n${on}\n`;
          })
          .join('')
      : '';
  const begin = line.restrict ? `\\restrict ${KEY}\n\n` : '';
  const end = line.restrict ? `\n\\unrestrict ${KEY}\n` : '';
  return `${begin}${head}${variables}${text}${tail.replace('-- PostgreSQL database dump', '-- YSQL database dump')}${end}`;
}
