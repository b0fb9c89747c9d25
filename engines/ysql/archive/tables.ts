import type { ArchivedTable } from '../../../model/archive.ts';
import type { YsqlSource } from '../../../model/pipeline.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import { readRelations, select } from '../server/catalog.ts';
import { quoteTable, tableName } from '../server/identifiers.ts';
import type { Session } from '../server/session.ts';

/** A table that the plan selects, as far as an archive of its changes is concerned. */
export interface TableRow {
  readonly schema: string;
  readonly table: string;
  readonly unlogged: boolean;
  /** Whether this role may add it to a publication. */
  readonly owned: boolean;
  /** `pg_class.relreplident`; `c` (the key and what changed) is YugabyteDB's alone. */
  readonly replident: 'd' | 'f' | 'i' | 'n' | 'c';
  readonly hasPrimaryKey: boolean;
  readonly hasIdentityIndex: boolean;
  /** Another number: it was dropped and made anew, and the publication does not have it. */
  readonly oid: string;
  /** Name, type with modifier, generation, NOT NULL, and what tells that the column was changed, in order. */
  readonly columns: readonly (readonly [string, string, string, boolean, string])[];
  /** How the publication has it: the number of that entry, and whether it has all rows and columns. Null: it doesn't. */
  readonly published: readonly [string, boolean, boolean] | null;
  /** Why its replica identity serves no replay. `generated`: a column of it is not sent. `overlaps`: a key WITHOUT OVERLAPS (from 18 on). Null: it does. */
  readonly unfit: 'generated' | 'overlaps' | null;
  /** Of YugabyteDB: names of the primary key's columns, and the number of the tablets' table, which TRUNCATE and rewrites change. */
  readonly key?: readonly string[];
  readonly relfilenode?: string;
}

/** How the product's catalogue is read, and which of its tables can be archived. */
export interface TableReading {
  readonly sql: string;
  /** Undefined where rows can't be told apart by the stream. */
  identityOf(row: TableRow): ArchivedTable['identity'] | undefined;
  /** Why one without identity has none, and what gives it one. */
  noIdentity(row: TableRow): { readonly reason: string; readonly sql?: string };
}

/** Whether an index that is the replica identity of `c` fulfils the condition. */
const identityIndex = (
  condition: string,
) => `c.relreplident IN ('d', 'i', 'c') AND EXISTS (SELECT FROM pg_catalog.pg_index i
      WHERE i.indrelid = c.oid AND (CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END) AND ${condition})`;

/**
 * Generated columns are not published. From 18 on the server refuses the application's UPDATE and DELETE where the replica identity has one, and FULL has
 * every column.
 */
const UNFIT = `CASE
      WHEN ${identityIndex(`EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]) AND a.attgenerated <> '')`)}
        OR c.relreplident = 'f' AND current_setting('server_version_num')::int >= 180000
          AND EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attgenerated <> '')
      THEN 'generated' WHEN ${identityIndex('i.indisexclusion')} THEN 'overlaps' END`;

/** Names and types are written out whole, since `search_path` is empty. */
function tablesQuery(columnMark: string, more: string): string {
  return `
  SELECT n.nspname AS schema, c.relname AS table, c.relpersistence = 'u' AS unlogged,
    pg_has_role(c.relowner, 'USAGE') AS owned, c.relreplident AS replident,
    EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indisvalid
      AND i.indimmediate) AS "hasPrimaryKey",
    EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisreplident AND i.indisvalid)
      AS "hasIdentityIndex", c.oid::text AS oid,
    coalesce((SELECT json_agg(json_build_array(a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attgenerated,
      a.attnotnull, ${columnMark}) ORDER BY a.attnum)
      FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]') AS columns,
    (SELECT json_build_array(r.oid::text, r.prqual IS NULL, r.prattrs IS NULL) FROM pg_catalog.pg_publication_rel r
      JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = c.oid AND p.pubname = $2) AS published,
    ${UNFIT} AS unfit${more}
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid = ANY ($1::oid[]) ORDER BY 1, 2`;
}

export const POSTGRESQL_TABLES: TableReading = {
  // The transaction that wrote a column's entry tells what its type doesn't: that all values were rewritten by an ALTER TABLE … TYPE … USING, or that a
  // generated column is computed otherwise. Neither is sent as changes. TRUNCATE is.
  sql: tablesQuery('a.xmin::text', ''),
  identityOf(row) {
    if (row.replident === 'f') return 'full';
    if (row.replident === 'i') return row.hasIdentityIndex ? 'index' : undefined;
    return row.replident === 'd' && row.hasPrimaryKey ? 'default' : undefined;
  },
  noIdentity: (row) => ({
    reason: 'it has no replica identity (no primary key)',
    sql: `ALTER TABLE ${quoteTable(row)} REPLICA IDENTITY FULL;`,
  }),
};

export const YUGABYTEDB_TABLES: TableReading = {
  // Its catalogue has no xmin. What rewrites or empties a table gives it other tablets, whose table is numbered by relfilenode: that is all that tells
  // of a TRUNCATE, which is never sent (issue 29674).
  sql: tablesQuery(
    'a.attnum::text',
    `, c.relfilenode::text AS relfilenode,
    ARRAY(SELECT a.attname::text FROM pg_catalog.pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, at)
      JOIN pg_catalog.pg_attribute a ON a.attnum = k.attnum WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid
      AND k.at <= i.indnkeyatts ORDER BY k.at) AS key`,
  ),
  identityOf(row) {
    // Rows of a table without a primary key are not streamed, whatever its identity is (issue 19291).
    if (!row.hasPrimaryKey) return undefined;
    if (row.replident === 'c') return 'change';
    if (row.replident === 'f') return 'full';
    return row.replident === 'd' ? 'default' : undefined;
  },
  noIdentity: (row) =>
    row.hasPrimaryKey
      ? {
          reason: 'its replica identity leaves out which row changed',
          sql: `ALTER TABLE ${quoteTable(row)} REPLICA IDENTITY CHANGE;`,
        }
      : { reason: 'it has no primary key, and YugabyteDB streams no changes of such a table' },
};

/** What the publication sends of its tables, and the labels of enumerations: a renamed one stands in rows that were never sent again. */
const BESIDE_TABLES = `
  SELECT (SELECT json_build_array(p.oid::text, p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot)
      FROM pg_catalog.pg_publication p WHERE p.pubname = $1) AS publication,
    (SELECT json_agg(json_build_array(e.enumtypid::text, e.enumlabel) ORDER BY e.enumtypid, e.enumsortorder) FROM pg_catalog.pg_enum e)
      AS labels`;

/** What of a database can be archived, and the state of its schema. */
export interface ArchivableTables {
  readonly archived: readonly ArchivedTable[];
  readonly notArchived: readonly { readonly table: string; readonly reason: string; readonly sql?: string }[];
  /** Quoted, for a publication. */
  readonly quoted: readonly string[];
  /** Of `archived`, those that the publication doesn't have. */
  readonly unpublished: readonly string[];
  /** Of `archived` on YugabyteDB: the columns of the primary key, by `schema.table`. */
  readonly keys: ReadonlyMap<string, readonly string[]>;
  /**
   * Hash of the tables, their columns, their replica identities and how they are published. Another hash means that rows from before and
   * after may not fit each other, that changes are not sent, or that a table has come or gone.
   */
  readonly schemaFingerprint: string;
}

/**
 * Which of the plan's tables have a replica identity. On PostgreSQL, to publish one without would make the application's own UPDATE and DELETE fail
 * (`cannot update table … because it does not have a replica identity and publishes updates`), so those are left out.
 *
 * @param publication of the archive; it need not be there
 */
export async function archivableTables(
  session: Session,
  reading: TableReading,
  source: YsqlSource,
  publication: string,
): Promise<ArchivableTables> {
  const { data } = await select(session, await readRelations(session), source);
  const oids = data.filter(({ extension }) => extension === null).map(({ oid }) => oid);
  const rows = await session.query<TableRow>('read the replica identities', reading.sql, [oids, publication]);
  const beside = await session.query('read what is published', BESIDE_TABLES, [publication]);
  const archived: ArchivedTable[] = [];
  const notArchived: { table: string; reason: string; sql?: string }[] = [];
  const quoted: string[] = [];
  const unpublished: string[] = [];
  const keys = new Map<string, readonly string[]>();
  for (const row of rows) {
    const identity = reading.identityOf(row);
    const obstacle = obstacleOf(row);
    if (obstacle !== undefined || identity === undefined) {
      notArchived.push({ table: tableName(row), ...(obstacle ?? reading.noIdentity(row)) });
      continue;
    }
    if (row.key !== undefined) keys.set(tableName(row), row.key);
    archived.push({ table: tableName(row), identity });
    quoted.push(quoteTable(row));
    if (row.published === null) unpublished.push(tableName(row));
  }
  const schemaFingerprint = sha256Hex(Buffer.from(JSON.stringify([rows.map(fingerprinted), beside])));
  return { archived, notArchived, quoted, unpublished, keys, schemaFingerprint };
}

/**
 * As releases wrote it that did not know `unfit`: their timelines go on, and so do this one's in their hands, but for a table that they should not have
 * published. What was never published, or is so no more, was never archived or has ended its timeline.
 */
function fingerprinted({ unfit, ...row }: TableRow) {
  return unfit === null || row.published === null ? row : { ...row, unfit };
}

function obstacleOf(row: TableRow) {
  if (row.unlogged) {
    return {
      reason: 'it is unlogged, so the server keeps no record of its changes',
      sql: `ALTER TABLE ${quoteTable(row)} SET LOGGED;`,
    };
  }
  if (row.unfit === 'generated') {
    return { reason: 'its replica identity has a generated column, which is not published' };
  }
  if (row.unfit === 'overlaps') {
    return {
      reason: 'its replica identity is a key WITHOUT OVERLAPS, by which a replay finds no rows',
      sql: `ALTER TABLE ${quoteTable(row)} REPLICA IDENTITY FULL;`,
    };
  }
  return row.owned ? undefined : { reason: 'the role does not own it, so it can not be published' };
}
