import type { ChangeLog } from './change-log.ts';

/** A table that a publication has, as the catalogue showed it at some hybrid time. */
export interface PublishedTable {
  readonly oid: number;
  /** Names of the primary key's columns; empty where there is none. */
  readonly key: ReadonlySet<string>;
  /** `c` CHANGE, `d` DEFAULT, `f` FULL, `n` NOTHING. */
  readonly identity: string;
}

/** The tables of each publication. */
export type Publications = ReadonlyMap<string, readonly PublishedTable[]>;

const PUBLISHED = `
  SELECT p.pubname AS publication, c.oid::int AS oid, pg_catalog.yb_relreplident(c.oid, c.relreplident)::text AS identity,
    ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
          WHERE i.indrelid = c.oid AND i.indisprimary) AS key
  FROM information_schema.pg_publication p
    LEFT JOIN information_schema.pg_publication_tables t ON t.pubname = p.pubname
    LEFT JOIN pg_namespace n ON n.nspname = t.schemaname
    LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename`;

/** Every publication of the database as of a hybrid time. */
export async function publicationsAt(log: ChangeLog, hybrid: bigint): Promise<Publications> {
  const rows = await log.queryAt<{
    publication: string;
    oid: number | null;
    identity: string | null;
    key: readonly string[];
  }>(hybrid, PUBLISHED);
  const found = new Map<string, PublishedTable[]>();
  for (const { publication, oid, identity, key } of rows) {
    const tables = found.get(publication) ?? [];
    found.set(publication, tables);
    if (oid !== null) tables.push({ oid, identity: identity ?? 'n', key: new Set(key) });
  }
  return found;
}
