import type { Client } from 'pg';
import { PLACEMENT_STORE } from './placement-store.ts';
import { superuser } from './superuser.ts';

/**
 * `yb_servers` lists one node; `yb_catalog_version` changes with any DDL. A table has three tablets unless it was created with a split (`placement-store.ts`)
 * or its comment says how it is sharded: `yb: colocated`, or `yb: range`, optionally followed by the clause `SPLIT AT VALUES ((…), …)`. The comment must exist
 * before a session begins.
 *
 * In a colocated database a table shares its tablets unless it was created with `colocation = false`. Its keys ascend, and it has a colocation id: its own, or
 * one that the master chose at random (upstream catalog_manager.cc).
 *
 * `yb_get_range_split_clause` returns an empty text for one tablet, and NULL for a hash-sharded table (YugabyteDB's pg_yb_utils.c). `pg_table_size` is NULL and
 * `pg_relation_size` is 0 for a colocated table, since no local file holds the rows (facts/yugabytedb-programs.md, section 9, "SQL that Holdfast sends").
 *
 * ANALYZE and temporary tables raise the catalog version too, though they break nothing (`last_breaking_version`; facts yugabytedb-programs R10, YugabyteDB
 * issues 21764, 1721). Every dump would show the grant of an added catalogue relation, so the table `pg_yb_catalog_version` is a function, which the proxy puts
 * in its place. `yb_index_check` never finds a fault and refuses ybgin, as the real one does (YugabyteDB's yb_index_check.c); a test injects a broken index as
 * a fault of the proxy.
 */
const FUNCTIONS = `
  CREATE OR REPLACE FUNCTION pg_catalog.yb_servers()
    RETURNS TABLE (host text, port bigint, num_connections bigint, node_type text, cloud text, region text, zone text, public_ip text, uuid text)
    LANGUAGE sql STABLE AS $$
      SELECT '127.0.0.1', current_setting('port')::bigint, 0::bigint, 'primary', 'cloud1', 'datacenter1', 'rack1', '', '7d5f0e9a4c1b4f0e8a51c2f6d3b9e870' $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_servers_at(nodes text, uuids text)
    RETURNS TABLE (host text, port bigint, num_connections bigint, node_type text, cloud text, region text, zone text, public_ip text, uuid text)
    LANGUAGE sql STABLE AS $$
      SELECT split_part(node, ':', 1), split_part(node, ':', 2)::bigint, 0::bigint, 'primary', 'cloud1', 'datacenter1', 'rack' || number, '', coalesce(nullif(split_part(uuids, ',', number::int), ''), md5(node))
      FROM unnest(string_to_array(nodes, ',')) WITH ORDINALITY n(node, number) $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_terminate_backend(own int[], pid int) RETURNS boolean LANGUAGE sql VOLATILE AS $$
    SELECT CASE WHEN pid = ANY (own) THEN pg_catalog.pg_terminate_backend(pid) ELSE false END $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_index_check(indexrelid oid) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
      IF EXISTS (SELECT FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.oid = indexrelid AND a.amname = 'gin') THEN
        RAISE EXCEPTION 'this operation is not yet supported for ybgin indexes' USING ERRCODE = '0A000';
      END IF;
    END $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_table_properties(table_oid oid,
      OUT num_tablets bigint, OUT num_hash_key_columns bigint, OUT is_colocated boolean, OUT tablegroup_oid oid, OUT colocation_id oid)
    LANGUAGE sql STABLE AS $$
      SELECT CASE WHEN together.so THEN 1 ELSE coalesce(placed.tablets, CASE WHEN said LIKE 'yb: range%' THEN greatest(length(said) - length(replace(said, '(', '')), 1) ELSE 3 END::bigint) END,
        CASE WHEN together.so THEN 0 WHEN placed.clause IS NOT NULL THEN 0
          WHEN c.relkind IN ('i', 'I') THEN 1
          ELSE coalesce((SELECT count(*) FROM pg_index i, unnest(i.indoption) option WHERE i.indrelid = $1 AND i.indisprimary AND option & 4 <> 0), 0) END,
        together.so OR placed.tablegroup IS NOT NULL, placed.tablegroup,
        CASE WHEN together.so OR placed.tablegroup IS NOT NULL THEN coalesce(own.id, 20001 + ('x' || substr(md5($1::text), 1, 7))::bit(28)::bigint)::oid END
      FROM coalesce(obj_description($1, 'pg_class'), '') said
      LEFT JOIN pg_class c ON c.oid = $1
      LEFT JOIN pg_index i ON i.indexrelid = $1
      LEFT JOIN information_schema.yb_placement placed ON placed.relation = $1
      LEFT JOIN information_schema.yb_colocation own ON own.relation = $1
      LEFT JOIN information_schema.yb_colocation main ON main.relation = coalesce(i.indrelid, $1)
      CROSS JOIN LATERAL (SELECT said LIKE 'yb: colocated%'
        OR EXISTS (SELECT FROM information_schema.yb_colocated) AND main.apart IS DISTINCT FROM true AS so) together $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_get_range_split_clause(relation oid, OUT range_split_clause text)
    LANGUAGE sql STABLE AS $$
      SELECT CASE WHEN p.num_hash_key_columns = 0 THEN coalesce((SELECT clause FROM information_schema.yb_placement WHERE yb_placement.relation = $1), substring(obj_description($1, 'pg_class') FROM '^yb: range (.+)'), '') END
      FROM yb_table_properties($1) p $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_stand_in_table_size(relation regclass) RETURNS bigint
    LANGUAGE sql STABLE AS $$ SELECT CASE WHEN NOT p.is_colocated THEN pg_table_size($1) END FROM yb_table_properties($1) p $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_stand_in_relation_size(regclass) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 0::bigint';
  CREATE OR REPLACE FUNCTION pg_catalog.yb_is_database_colocated(check_legacy boolean DEFAULT false) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT NOT check_legacy AND EXISTS (SELECT FROM information_schema.yb_colocated) $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_is_local_table(oid) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT true';
  CREATE OR REPLACE FUNCTION pg_catalog.yb_catalog_version() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT (SELECT max(xmin::text::bigint) * 1000000 + count(*) FROM pg_class) + (SELECT max(xmin::text::bigint) * 1000000 + count(*) FROM pg_attribute)
      + (SELECT max(xmin::text::bigint) * 1000000 + count(*) FROM pg_constraint)
      + (SELECT coalesce(max(xmin::text::bigint), 0) * 1000000 + count(*) FROM pg_statistic) $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_catalog_versions()
    RETURNS TABLE (db_oid oid, current_version bigint, last_breaking_version bigint) LANGUAGE sql STABLE AS $$
    SELECT (SELECT oid FROM pg_database WHERE datname = current_database()) AS db_oid, pg_catalog.yb_catalog_version(),
      (SELECT max(c.xmin::text::bigint) * 1000000 + count(*) FROM pg_class c WHERE relpersistence <> 't')
      + (SELECT max(a.xmin::text::bigint) * 1000000 + count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relpersistence <> 't')
      + (SELECT max(xmin::text::bigint) * 1000000 + count(*) FROM pg_constraint) $$;
`;

/**
 * By default YugabyteDB shards a table by the hash of its primary key's first column, and marks this by bit 4 (INDOPTION_HASH, from its fork of
 * pg_index.h) of `pg_index.indoption`. PostgreSQL ignores that bit, so it can be set here.
 */
const MARK_HASH_KEYS = `
  UPDATE pg_index SET indoption = array_to_string(array(
      SELECT CASE WHEN position = 1 THEN option | 4 ELSE option END FROM unnest(indoption) WITH ORDINALITY u(option, position) ORDER BY position), ' ')::int2vector
  WHERE indisprimary AND indrelid >= 16384 AND indoption[0] & 7 = 0 AND coalesce(obj_description(indrelid, 'pg_class'), '') NOT LIKE 'yb: %'
    AND NOT (SELECT is_colocated FROM yb_table_properties(indrelid))
    AND NOT EXISTS (SELECT FROM information_schema.yb_keys k WHERE k.relation = indrelid AND k.key !~* '\\mhash\\M')
    AND EXISTS (SELECT FROM pg_am a JOIN pg_class c ON c.relam = a.oid WHERE c.oid = indexrelid AND a.amname = 'btree')`;

/** Makes a newly created database colocated. */
export async function colocate(url: string, database: string): Promise<void> {
  const admin = superuser(url, database, 'yugabytedb dialect');
  await admin.connect();
  try {
    await installDialect(admin);
    await admin.query('INSERT INTO information_schema.yb_colocated VALUES (true)');
  } finally {
    await admin.end();
  }
}

/** Advisory lock that keeps two installers from changing the same catalogue rows. */
const LOCK_KEY = 7423;

/**
 * Installs in the database of `admin` (a superuser) the parts of YugabyteDB that SQL can define. They are in `pg_catalog`, which dumps
 * leave out. Cheap when they exist already. Installs `more` too, under the same lock.
 */
export async function installDialect(admin: Client, more?: () => Promise<void>): Promise<void> {
  await admin.query('SELECT pg_advisory_lock($1)', [LOCK_KEY]);
  const installed = await admin.query("SELECT FROM pg_proc WHERE proname = 'yb_catalog_version'");
  if (installed.rowCount === 0) await admin.query(PLACEMENT_STORE + FUNCTIONS);
  await admin.query(MARK_HASH_KEYS);
  await more?.();
  await admin.query('SELECT pg_advisory_unlock($1)', [LOCK_KEY]);
}
