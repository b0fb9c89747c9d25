import type { Client } from 'pg';
import { FEED, feedSlot } from './feed.ts';
import type { LineBehaviour } from './settings.ts';

/** The table whose rows mark places in the feed. */
export const MARKERS = 'yb_feed_marker';

/** What a function of the stand-in says to the proxy begins with this. */
export const CALL = 'yb_stand_in_call';
/** Where the proxy answers, below the upstream's data directory. */
export const ANSWERS = 'pg_stat_tmp';

/**
 * `relreplident` is a function too, so that a column that is computed by it keeps its name. The slots are the proxy's, and their SQL must stand in any query. So a function calls the proxy: it says what it wants in a notice, which the
 * proxy takes out of the stream, and waits for the answer as a file of the upstream's.
 *
 * Signatures: yugabyte-db src/yb/yql/pgwrapper/ysql_migrations (pg_create_logical_replication_slot with yb_lsn_type and yb_ordering_mode,
 * pg_get_replication_slots with yb_restart_time, yb_get_current_hybrid_time_lsn).
 */
const FUNCTIONS = `
  CREATE TABLE information_schema.${MARKERS} (id text PRIMARY KEY);
  CREATE TABLE information_schema.yb_replica_identity (relation oid PRIMARY KEY, identity "char" NOT NULL);
  CREATE TYPE information_schema.yb_made_slot AS (slot_name name, lsn pg_lsn);
  GRANT SELECT ON information_schema.yb_replica_identity TO PUBLIC;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_stand_in_call(request text) RETURNS jsonb LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET client_min_messages = 'notice' SET search_path = 'pg_catalog' AS $call$
    DECLARE
      id text := md5(random()::text || clock_timestamp()::text || pg_backend_pid()::text);
      answer text; started timestamptz := clock_timestamp();
    BEGIN
      RAISE NOTICE '${CALL} % %', id, request;
      LOOP
        answer := pg_read_file('${ANSWERS}/${CALL}_' || id, 0, 1000000000, true);
        EXIT WHEN right(answer, 1) = E'\\n';
        IF clock_timestamp() > started + interval '30 s' THEN RAISE EXCEPTION 'the stand-in gave no answer to %', request; END IF;
        PERFORM pg_sleep(0.002);
      END LOOP;
      IF answer::jsonb ? 'error' THEN
        RAISE EXCEPTION USING ERRCODE = answer::jsonb->'error'->>'code', MESSAGE = answer::jsonb->'error'->>'message',
          DETAIL = coalesce(answer::jsonb->'error'->>'detail', ''), HINT = coalesce(answer::jsonb->'error'->>'hint', '');
      END IF;
      RETURN answer::jsonb;
    END $call$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_may_replicate() RETURNS void LANGUAGE plpgsql STABLE AS $$
    BEGIN
      IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = current_user AND (rolsuper OR rolreplication)) THEN
        RAISE EXCEPTION 'must be superuser or replication role to use replication slots' USING ERRCODE = '42501';
      END IF;
    END $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_create_logical_replication_slot(slot_name name, plugin name, temporary boolean DEFAULT false,
      twophase boolean DEFAULT false, yb_lsn_type name DEFAULT 'SEQUENCE', yb_ordering_mode name DEFAULT 'TRANSACTION')
    RETURNS information_schema.yb_made_slot LANGUAGE plpgsql VOLATILE STRICT AS $$
    BEGIN
      PERFORM pg_catalog.yb_may_replicate();
      PERFORM pg_catalog.yb_stand_in_call(jsonb_build_object('kind', 'create', 'name', $1, 'plugin', $2, 'temporary', $3,
        'twoPhase', $4, 'lsnType', $5, 'orderingMode', $6)::text);
      RETURN ROW($1, '0/2'::pg_lsn);
    END $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_drop_replication_slot(slot_name name) RETURNS void LANGUAGE plpgsql VOLATILE STRICT AS $$
    BEGIN
      PERFORM pg_catalog.yb_may_replicate();
      PERFORM pg_catalog.yb_stand_in_call(jsonb_build_object('kind', 'drop', 'name', $1)::text);
    END $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_create_physical_replication_slot(slot_name name, immediately_reserve boolean DEFAULT false, temporary boolean DEFAULT false)
    RETURNS information_schema.yb_made_slot LANGUAGE plpgsql VOLATILE AS $$
    BEGIN RAISE EXCEPTION 'YSQL only supports logical replication slots' USING ERRCODE = '0A000'; END $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_logical_slot_changes(slot_name name, upto_lsn pg_lsn, upto_nchanges int, VARIADIC options text[] DEFAULT '{}')
    RETURNS TABLE (lsn pg_lsn, xid xid, data text) LANGUAGE plpgsql VOLATILE AS $$
    BEGIN RAISE EXCEPTION 'invalid record offset at 0/1' USING ERRCODE = 'XX000'; END $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_local_wal_lsn() RETURNS pg_lsn LANGUAGE sql VOLATILE AS $$ SELECT '0/1556F18'::pg_lsn $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_logical_emit_message(transactional boolean, prefix text, content text) RETURNS pg_lsn LANGUAGE sql VOLATILE AS $$
    SELECT '0/1556F18'::pg_lsn $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_no_xid() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
    BEGIN RAISE EXCEPTION 'Yugabyte does not support xid' USING ERRCODE = '0A000'; END $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_get_replication_slots(OUT slot_name name, OUT plugin name, OUT slot_type text, OUT datoid oid, OUT temporary boolean,
      OUT active boolean, OUT active_pid int, OUT xmin xid, OUT catalog_xmin xid, OUT restart_lsn pg_lsn, OUT confirmed_flush_lsn pg_lsn, OUT wal_status text,
      OUT safe_wal_size bigint, OUT two_phase boolean, OUT yb_stream_id text, OUT yb_restart_commit_ht bigint, OUT yb_lsn_type text, OUT yb_restart_time timestamptz)
    RETURNS SETOF record LANGUAGE sql VOLATILE AS $$
      SELECT (s->>'name')::name, (s->>'plugin')::name, 'logical', (s->>'databaseOid')::oid, false, (s->>'active')::boolean, (s->>'activePid')::int,
        (s->>'xmin')::xid, (s->>'xmin')::xid, (s->>'restartLsn')::pg_lsn, (s->>'confirmedFlush')::pg_lsn, NULL::text, NULL::bigint, false,
        s->>'streamId', (s->>'restartHybrid')::bigint, s->>'lsnType',
        to_timestamp(((s->>'restartHybrid')::bigint >> 12) / 1000000.0)
      FROM jsonb_array_elements(pg_catalog.yb_stand_in_call('{"kind":"list"}')->'slots') s $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_get_current_hybrid_time_lsn(OUT current_hybrid_time_lsn bigint) RETURNS SETOF bigint LANGUAGE sql VOLATILE AS $$
    SELECT (floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint) << 12 $$;
  CREATE OR REPLACE FUNCTION pg_catalog.relreplident(relation oid, upstream "char") RETURNS "char" LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN $1 < 16384 THEN $2 ELSE
      coalesce((SELECT identity FROM information_schema.yb_replica_identity i WHERE i.relation = $1), CASE WHEN c.relkind IN ('r', 'p', 'm') THEN 'c' ELSE $2 END) END
    FROM pg_catalog.pg_class c WHERE c.oid = $1 $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_note_replica_identity(relation text, identity "char") RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    DELETE FROM information_schema.yb_replica_identity i WHERE i.relation = $1::regclass;
    INSERT INTO information_schema.yb_replica_identity VALUES ($1::regclass, $2) $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_rows_written(since bigint, only_relation oid) RETURNS text LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
    DECLARE t record; found jsonb; everything jsonb := '[]';
    BEGIN
      FOR t IN SELECT c.oid, n.nspname, c.relname, array_agg(a.attname::text ORDER BY a.attnum) AS names,
          string_agg(format('%I::text', a.attname), ', ' ORDER BY a.attnum) AS texts,
          jsonb_agg(jsonb_build_object('name', a.attname, 'type', a.atttypid::bigint, 'modifier', a.atttypmod) ORDER BY a.attnum) AS columns
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND c.oid >= 16384 AND n.nspname NOT IN ('information_schema', 'pg_catalog')
          AND a.attnum > 0 AND NOT a.attisdropped AND coalesce(to_jsonb(a)->>'attgenerated', '') = '' AND (only_relation IS NULL OR c.oid = only_relation) GROUP BY 1, 2, 3
      LOOP
        EXECUTE format('SELECT jsonb_agg(jsonb_build_array(%s)) FROM ONLY %I.%I r WHERE %s', t.texts, t.nspname, t.relname,
          CASE WHEN since IS NULL THEN 'true' ELSE format('xmin::text::bigint >= %s AND pg_xact_commit_timestamp(xmin) IS NULL', since) END) INTO found;
        CONTINUE WHEN found IS NULL;
        everything := everything || jsonb_build_object('oid', t.oid::bigint, 'schema', t.nspname, 'name', t.relname, 'columns', t.columns, 'rows', found);
      END LOOP;
      IF everything = '[]' THEN RETURN ''; END IF;
      RETURN jsonb_build_object('xid', txid_current(), 'tables', everything)::text;
    END $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_feed_mark() RETURNS void LANGUAGE sql VOLATILE SECURITY DEFINER AS $$
    INSERT INTO information_schema.${MARKERS} VALUES (md5(random()::text || clock_timestamp()::text)) $$;
  CREATE OR REPLACE FUNCTION pg_catalog.yb_log_whole_rows() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
    DECLARE name text;
    BEGIN
      FOR name IN SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND c.relreplident <> 'f' AND c.oid >= 16384
          AND n.nspname NOT IN ('information_schema', 'pg_catalog') AND n.nspname NOT LIKE 'pg\\_toast%'
      LOOP EXECUTE 'ALTER TABLE ONLY ' || name || ' REPLICA IDENTITY FULL'; END LOOP;
    END $$;
`;

/** Columns of `pg_replication_slots`, some of which not every release has. */
const slotColumns = (isEleven: boolean, { lsnTypes, dynamicTables }: LineBehaviour) => [
  ...['slot_name name', 'plugin name', 'slot_type text', 'datoid oid', 'database name', 'temporary boolean'],
  ...['active boolean', 'active_pid int', 'xmin xid', 'catalog_xmin xid', 'restart_lsn pg_lsn'],
  'confirmed_flush_lsn pg_lsn',
  ...(isEleven ? [] : ['wal_status text', 'safe_wal_size bigint', 'two_phase boolean']),
  ...['yb_stream_id text', 'yb_restart_commit_ht bigint'],
  ...(lsnTypes ? ['yb_lsn_type text'] : []),
  ...(dynamicTables ? ['yb_restart_time timestamptz'] : []),
];

/**
 * A function with the name of a view or catalogue, which the proxy puts in its place. No view: `pg_dump` allows none that isn't the system's
 * (`restrict_nonsystem_relation_kind`).
 */
function inThePlaceOf(name: string, columns: readonly string[], from: string): string {
  const names = columns.map((column) => `s.${column.split(' ')[0]}`).join(', ');
  return `CREATE OR REPLACE FUNCTION pg_catalog.${name}() RETURNS TABLE (${columns.join(', ')}) LANGUAGE sql VOLATILE AS $$ SELECT ${names} FROM ${from} $$;`;
}

/** The columns of a relation of the system's, with their types. */
async function columnsOf(admin: Client, relation: string): Promise<readonly string[]> {
  const found = await admin.query<{ column: string }>(
    `SELECT attname || ' ' || format_type(atttypid, atttypmod) AS column FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 ORDER BY attnum`,
    [`pg_catalog.${relation}`],
  );
  return found.rows.map(({ column }) => column);
}

/** Gives the database of `admin` what YugabyteDB has of logical replication. Cheap where it is there already. The caller holds the lock of installers. */
export async function installReplication(admin: Client, behaviour: LineBehaviour): Promise<void> {
  const installed = await admin.query<{ there: boolean; number: number }>(
    "SELECT to_regclass('information_schema.yb_replica_identity') IS NOT NULL AS there, current_setting('server_version_num')::int AS number",
  );
  if (installed.rows[0]?.there !== true) {
    // Before PostgreSQL 12 the OID was no column like others.
    const isEleven = (installed.rows[0]?.number ?? 0) < 120_000;
    const hidden = ['tableoid oid', ...(isEleven ? ['oid oid'] : [])];
    const slots =
      '(SELECT l.*, d.datname AS database FROM pg_catalog.yb_get_replication_slots() l LEFT JOIN pg_catalog.pg_database d ON d.oid = l.datoid) s';
    const isOthers = `s.pubname <> '${FEED}'`;
    const tables = `pg_catalog.pg_publication_tables s WHERE ${isOthers} AND s.schemaname <> 'information_schema'`;
    await admin.query(
      [
        FUNCTIONS,
        inThePlaceOf('pg_replication_slots', slotColumns(isEleven, behaviour), slots),
        inThePlaceOf(
          'pg_publication',
          [...hidden, ...(await columnsOf(admin, 'pg_publication'))],
          `pg_catalog.pg_publication s WHERE ${isOthers}`,
        ),
        inThePlaceOf('pg_publication_tables', await columnsOf(admin, 'pg_publication_tables'), tables),
      ].join('\n'),
    );
  }
  await admin.query('SELECT pg_catalog.yb_log_whole_rows()');
}

/** Makes the upstream's slot and publication, and tells of the database. What a proxy that died left is dropped first. */
export async function prepareFeed(
  admin: Client,
): Promise<{ readonly oid: number; readonly hasSchemas: boolean }> {
  const found = await admin.query<{ oid: number; has: boolean; level: string; stamps: string }>(
    "SELECT oid::int, to_regclass('pg_publication_namespace') IS NOT NULL AS has, current_setting('wal_level') AS level, current_setting('track_commit_timestamp') AS stamps FROM pg_database WHERE datname = current_database()",
  );
  const { oid = 0, has = false, level, stamps } = found.rows[0] ?? {};
  if (level !== 'logical' || stamps !== 'on') {
    throw new Error(
      'the upstream of the stand-in needs wal_level = logical and track_commit_timestamp = on for slots',
    );
  }
  await dropFeed(admin, oid);
  await admin.query('SELECT pg_catalog.yb_log_whole_rows()');
  await admin.query(`CREATE PUBLICATION ${FEED} FOR ALL TABLES`);
  await admin.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [feedSlot(oid)]);
  return { oid, hasSchemas: has };
}

export async function dropFeed(admin: Client, databaseOid: number): Promise<void> {
  const slot = feedSlot(databaseOid);
  // A walsender whose client is gone holds its slot until it notices.
  await admin.query(
    'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL',
    [slot],
  );
  for (;;) {
    const left = await admin.query(
      'SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL',
      [slot],
    );
    if (left.rowCount === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await admin.query(
    'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1',
    [slot],
  );
  await admin.query(`DROP PUBLICATION IF EXISTS ${FEED}`);
}
