import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Client } from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';

/** One row as a tablet stores it. */
export interface StoredRow {
  /** Hash of its primary key, 0..65535. */
  readonly hash: number;
  /** `schema.table` as JSON, a tab, a line of COPY text. */
  readonly line: string;
}

/** A relation of a database in PostgreSQL. */
export interface Relation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly kind: 'table' | 'index' | 'matview';
  /** The table of an index. */
  readonly tableOid?: number;
}

export const YCQL_STORE = 'ycql_store';

const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;
export const quoted = (schema: string, name: string): string => `${quote(schema)}.${quote(name)}`;
export const relationKey = (schema: string, name: string): string => JSON.stringify([schema, name]);

/** Lists users' tables, materialized views, and indexes other than the primary key's, which YugabyteDB keeps in the table itself. */
export async function listRelations(client: Client): Promise<readonly Relation[]> {
  const { rows } = await client.query<{
    oid: number;
    schema: string;
    name: string;
    relkind: string;
    table_oid: number | null;
  }>(
    `SELECT c.oid::int8::int AS oid, n.nspname AS schema, c.relname AS name, c.relkind, i.indrelid::int8::int AS table_oid
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
     WHERE c.relkind IN ('r', 'm', 'i') AND c.oid >= 16384 AND c.relpersistence = 'p' AND coalesce(NOT i.indisprimary, true)
       AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname NOT LIKE 'pg_temp%'
     ORDER BY c.oid`,
  );
  return rows.map(({ oid, schema, name, relkind, table_oid }) => ({
    oid,
    schema,
    name,
    kind: relkind === 'i' ? 'index' : relkind === 'm' ? 'matview' : 'table',
    ...(table_oid === null ? {} : { tableOid: table_oid }),
  }));
}

export async function columnsOf(
  client: Client,
  oid: number,
): Promise<readonly { readonly name: string; readonly type: string; readonly generated: boolean }[]> {
  const { rows } = await client.query<{ name: string; type: string; generated: boolean }>(
    `SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, coalesce(to_jsonb(a) ->> 'attgenerated', '') <> '' AS generated FROM pg_attribute a
     WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
    [oid],
  );
  return rows;
}

/** Reads all rows of a relation, as the client's transaction sees them. */
export async function readRows(client: Client, relation: Relation): Promise<readonly StoredRow[]> {
  const select =
    relation.kind === 'index' ? await indexQuery(client, relation) : await tableQuery(client, relation);
  const key = relationKey(relation.schema, relation.kind === 'index' ? `~${relation.name}` : relation.name);
  const lines = (await copied(client, select)).split('\n');
  lines.pop();
  return lines.map((line) => {
    const tab = line.indexOf('\t');
    const end = tab < 0 ? line.length : tab;
    return { hash: Number(line.slice(0, end)), line: `${key}\t${line.slice(end + 1)}` };
  });
}

const hashOf = (expression: string): string => `('x' || left(md5(${expression}), 4))::bit(16)::int`;

async function tableQuery(client: Client, { oid, schema, name }: Relation): Promise<string> {
  const columns = (await columnsOf(client, oid))
    .filter(({ generated }) => !generated)
    .map((column) => quote(column.name));
  const { rows } = await client.query<{ name: string }>(
    `SELECT a.attname AS name FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k(attnum, position)
     JOIN pg_attribute a ON a.attnum = k.attnum WHERE i.indrelid = $1 AND i.indisprimary AND a.attrelid = $1 ORDER BY position LIMIT 1`,
    [oid],
  );
  const [first] = rows;
  // Without a primary key YugabyteDB uses a hidden one.
  const hash = hashOf(first === undefined ? 't::text' : `t.${quote(first.name)}::text`);
  return `SELECT ${[`${hash}`, ...columns.map((column) => `t.${column}`)].join(', ')} FROM ONLY ${quoted(schema, name)} t`;
}

async function indexQuery(client: Client, { oid, tableOid }: Relation): Promise<string> {
  const { rows } = await client.query<{
    keys: string[];
    predicate: string | null;
    table: string;
    primary_key: string[] | null;
  }>(
    `SELECT array(SELECT pg_get_indexdef(i.indexrelid, k, true) FROM generate_series(1, i.indnatts) k) AS keys,
       pg_get_expr(i.indpred, i.indrelid) AS predicate, i.indrelid::regclass::text AS table,
       (SELECT array_agg(quote_ident(a.attname)) FROM pg_index p, unnest(p.indkey) n JOIN pg_attribute a ON a.attnum = n
          WHERE p.indrelid = i.indrelid AND p.indisprimary AND a.attrelid = i.indrelid) AS primary_key
     FROM pg_index i WHERE i.indexrelid = $1`,
    [oid],
  );
  const [index] = rows;
  if (index === undefined) throw new Error(`no index ${oid} on ${tableOid}`);
  const values = [...index.keys, ...(index.primary_key ?? [])].map((value) => `(${value})::text`);
  const where = index.predicate === null ? '' : ` WHERE ${index.predicate}`;
  return `SELECT ${[hashOf(`coalesce(${values[0]}, '')`), ...values].join(', ')} FROM ONLY ${index.table}${where}`;
}

async function copied(client: Client, select: string): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of client.query(copyTo(`COPY (${select}) TO STDOUT`))) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}

/** Loads lines (of one relation, without their key) into a table. */
export async function loadRows(
  client: Client,
  relation: { readonly schema: string; readonly name: string },
  columns: readonly string[],
  lines: readonly string[],
): Promise<void> {
  const list = columns.length === 0 ? '' : ` (${columns.map(quote).join(', ')})`;
  const target = client.query(copyFrom(`COPY ${quoted(relation.schema, relation.name)}${list} FROM STDIN`));
  await pipeline(Readable.from(lines.map((line) => `${line}\n`)), target);
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
