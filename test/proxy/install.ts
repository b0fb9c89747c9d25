import type { Client } from 'pg';
import { PLACEMENT_STORE } from './placement-store.ts';

/**
 * `yb_servers` tells of one node, `yb_table_properties` of three tablets a table; `yb_catalog_version` differs after any DDL.
 */
const FUNCTIONS = `
  CREATE OR REPLACE FUNCTION pg_catalog.yb_servers()
    RETURNS TABLE (host text, port bigint, num_connections bigint, node_type text, cloud text, region text, zone text, public_ip text, uuid text)
    LANGUAGE sql STABLE AS $$
      SELECT '127.0.0.1', current_setting('port')::bigint, 0::bigint, 'primary', 'cloud1', 'datacenter1', 'rack1', '', '7d5f0e9a4c1b4f0e8a51c2f6d3b9e870' $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_table_properties(table_oid oid,
      OUT num_tablets bigint, OUT num_hash_key_columns bigint, OUT is_colocated boolean, OUT tablegroup_oid oid, OUT colocation_id oid)
    LANGUAGE sql STABLE AS $$
      SELECT 3::bigint, coalesce((SELECT count(*) FROM pg_index i, unnest(i.indoption) option WHERE i.indrelid = $1 AND i.indisprimary AND option & 4 <> 0), 0),
        false, NULL::oid, NULL::oid $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_is_database_colocated(check_legacy boolean DEFAULT false) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT false';
  CREATE OR REPLACE FUNCTION pg_catalog.yb_is_local_table(oid) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT true';
  CREATE OR REPLACE FUNCTION pg_catalog.yb_catalog_version() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT (SELECT max(xmin::text::bigint) * 1000000 + count(*) FROM pg_class) + (SELECT max(xmin::text::bigint) * 1000000 + count(*) FROM pg_attribute)
      + (SELECT max(xmin::text::bigint) * 1000000 + count(*) FROM pg_constraint) $$;
`;

/**
 * YugabyteDB shards a table by the hash of its primary key's first column unless it is told otherwise, and says so in bit 4 (INDOPTION_HASH, from its
 * fork of pg_index.h) of `pg_index.indoption`. PostgreSQL ignores that bit, so it can be set here.
 */
const MARK_HASH_KEYS = `
  UPDATE pg_index SET indoption = array_to_string(array(
      SELECT CASE WHEN position = 1 THEN option | 4 ELSE option END FROM unnest(indoption) WITH ORDINALITY u(option, position) ORDER BY position), ' ')::int2vector
  WHERE indisprimary AND indrelid >= 16384 AND indoption[0] & 7 = 0
    AND EXISTS (SELECT FROM pg_am a JOIN pg_class c ON c.relam = a.oid WHERE c.oid = indexrelid AND a.amname = 'btree')`;

/** Keeps two installers off each other's catalogue rows. */
const LOCK_KEY = 7423;

/**
 * Gives the database of `admin` (a superuser) what YugabyteDB has and SQL can define. It all stands in `pg_catalog`, which dumps leave out.
 * Cheap where it is there already.
 */
export async function installDialect(admin: Client): Promise<void> {
  await admin.query('SELECT pg_advisory_lock($1)', [LOCK_KEY]);
  const installed = await admin.query("SELECT FROM pg_proc WHERE proname = 'yb_catalog_version'");
  if (installed.rowCount === 0) await admin.query(FUNCTIONS + PLACEMENT_STORE);
  await admin.query(MARK_HASH_KEYS);
  await admin.query('SELECT pg_advisory_unlock($1)', [LOCK_KEY]);
}
