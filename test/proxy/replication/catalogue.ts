import type { ChangeLog } from './change-log.ts';
import { FEED } from './feed.ts';

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

/**
 * From the tables of the catalogue alone: what `pg_get_publication_tables` and the view on it say is of the present, whatever the snapshot. Rows of a
 * partitioned table come from its partitions.
 */
const published = (hasSchemas: boolean) => `
  WITH RECURSIVE named AS (
    SELECT p.oid AS publication, c.oid AS relation FROM pg_publication p, pg_class c WHERE p.puballtables AND c.relkind = 'r' AND c.relpersistence = 'p'
    UNION SELECT prpubid, prrelid FROM pg_publication_rel
    ${hasSchemas ? "UNION SELECT n.pnpubid, c.oid FROM pg_publication_namespace n JOIN pg_class c ON c.relnamespace = n.pnnspid AND c.relkind IN ('r', 'p')" : ''}
  ), every AS (
    SELECT * FROM named UNION SELECT e.publication, i.inhrelid FROM every e JOIN pg_inherits i ON i.inhparent = e.relation
      JOIN pg_class c ON c.oid = e.relation AND c.relkind = 'p'
  )
  SELECT p.pubname AS publication, c.oid::int AS oid, pg_catalog.relreplident(c.oid, c.relreplident)::text AS identity,
    ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
          WHERE i.indrelid = c.oid AND i.indisprimary) AS key
  FROM (SELECT oid, pubname FROM pg_publication WHERE pubname <> '${FEED}') p
    LEFT JOIN every e ON e.publication = p.oid
    LEFT JOIN pg_class c ON c.oid = e.relation AND c.relkind = 'r' AND c.oid >= 16384 AND c.relnamespace <> 'information_schema'::regnamespace`;

/** Every publication of the database as of a hybrid time. */
export async function publicationsAt(log: ChangeLog, hybrid: bigint): Promise<Publications> {
  const rows = await log.queryAt<{
    publication: string;
    oid: number | null;
    identity: string | null;
    key: readonly string[];
  }>(hybrid, published(log.hasSchemas));
  const found = new Map<string, PublishedTable[]>();
  for (const { publication, oid, identity, key } of rows) {
    const tables = found.get(publication) ?? [];
    found.set(publication, tables);
    if (oid !== null) tables.push({ oid, identity: identity ?? 'n', key: new Set(key) });
  }
  return found;
}
