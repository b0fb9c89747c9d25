import { onlyRow, type Session } from './session.ts';

/** The server's built-in objects have lower OIDs (PostgreSQL's FirstNormalObjectId). */
const FIRST_OWN_OID = 16_384;

/** One catalogue that a dump is made from. */
interface Catalogue {
  readonly name: string;
  /** A condition for the rows that a dump can hold, with the row as `t`. Default: rows with an OID of users' objects. */
  readonly rows?: string;
  /** Columns that the server changes by itself without a schema change. */
  readonly volatile?: readonly string[];
}

const OWN = `t.oid >= ${FIRST_OWN_OID}`;
const PERMANENT = `(SELECT c.relpersistence FROM pg_catalog.pg_class c WHERE c.oid = %) IS DISTINCT FROM 't'`;
const permanent = (column: string) => PERMANENT.replace('%', `t.${column}`);
const of = (column: string) => `t.${column} >= ${FIRST_OWN_OID} AND ${permanent(column)}`;

/**
 * Every catalogue that `pg_dump` reads objects from, except those of large objects and subscriptions, which no backup of YugabyteDB
 * has. Catalogues that a server doesn't have are left out.
 */
const CATALOGUES: readonly Catalogue[] = [
  { name: 'pg_namespace', rows: `t.nspname !~ '^pg_' AND t.nspname <> 'information_schema'` },
  {
    name: 'pg_class',
    rows: `${OWN} AND t.relpersistence <> 't' AND t.relkind <> 't'`,
    volatile: [
      'relpages',
      'reltuples',
      'relallvisible',
      'relallfrozen',
      'relfilenode',
      'reltoastrelid',
      'relhasindex',
      'relhasrules',
      'relhastriggers',
      'relfrozenxid',
      'relminmxid',
    ],
  },
  { name: 'pg_attribute', rows: of('attrelid'), volatile: ['attcacheoff'] },
  { name: 'pg_attrdef', rows: of('adrelid') },
  { name: 'pg_constraint', rows: `${OWN} AND ${permanent('conrelid')}` },
  { name: 'pg_index', rows: of('indrelid'), volatile: ['indcheckxmin'] },
  { name: 'pg_inherits', rows: of('inhrelid') },
  { name: 'pg_partitioned_table', rows: of('partrelid') },
  { name: 'pg_sequence', rows: of('seqrelid') },
  { name: 'pg_foreign_table', rows: of('ftrelid') },
  { name: 'pg_trigger', rows: `${OWN} AND ${permanent('tgrelid')}` },
  { name: 'pg_rewrite', rows: `${OWN} AND ${permanent('ev_class')}` },
  { name: 'pg_policy' },
  { name: 'pg_statistic_ext' },
  {
    name: 'pg_type',
    rows: `${OWN} AND NOT EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.oid = t.typnamespace AND n.nspname ~ '^pg_(temp|toast)')`,
  },
  { name: 'pg_enum' },
  { name: 'pg_range', rows: `t.rngtypid >= ${FIRST_OWN_OID}` },
  { name: 'pg_proc', rows: `${OWN} AND t.pronamespace <> pg_catalog.pg_my_temp_schema()` },
  { name: 'pg_aggregate', rows: `t.aggfnoid::oid >= ${FIRST_OWN_OID}` },
  { name: 'pg_operator' },
  { name: 'pg_opclass' },
  { name: 'pg_opfamily' },
  { name: 'pg_amop' },
  { name: 'pg_amproc' },
  { name: 'pg_cast' },
  { name: 'pg_conversion' },
  { name: 'pg_collation' },
  { name: 'pg_language' },
  { name: 'pg_transform' },
  { name: 'pg_am' },
  { name: 'pg_event_trigger' },
  { name: 'pg_extension' },
  { name: 'pg_foreign_data_wrapper' },
  { name: 'pg_foreign_server' },
  { name: 'pg_user_mappings', rows: `t.umid >= ${FIRST_OWN_OID}` },
  { name: 'pg_publication' },
  { name: 'pg_publication_rel' },
  { name: 'pg_publication_namespace' },
  { name: 'pg_ts_config' },
  { name: 'pg_ts_config_map', rows: `t.mapcfg >= ${FIRST_OWN_OID}` },
  { name: 'pg_ts_dict' },
  { name: 'pg_ts_parser' },
  { name: 'pg_ts_template' },
  { name: 'pg_default_acl' },
  {
    name: 'pg_description',
    rows: `t.objoid >= ${FIRST_OWN_OID} OR t.classoid = 'pg_catalog.pg_namespace'::regclass`,
  },
  { name: 'pg_seclabel', rows: 'true' },
  { name: 'pg_database', rows: 't.datname = current_database()', volatile: ['datfrozenxid', 'datminmxid'] },
  {
    name: 'pg_shdescription',
    rows: 't.objoid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())',
  },
  {
    name: 'pg_db_role_setting',
    rows: 't.setdatabase = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())',
  },
  // YugabyteDB's own.
  { name: 'pg_yb_tablegroup', rows: 'true' },
];

/** Whether a catalogue's rows have an OID. PostgreSQL 11 hides that column from `to_jsonb`. */
const HAS_OID = `EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'oid')`;

/**
 * Returns a value that changes whenever a dump of the session's database would: when an object of any kind is added, changed or
 * dropped. Unlike a catalogue version of YugabyteDB, it ignores ANALYZE, VACUUM and sessions with temporary objects
 * (docs/yugabytedb.md, R10). Comparable only between sessions of one server.
 */
export async function schemaFingerprint(session: Session): Promise<string> {
  const doing = `fingerprint the schema of database "${session.database}"`;
  const present = await session.query<{ name: string; oid: boolean }>(
    doing,
    `SELECT c.relname AS name, ${HAS_OID} AS oid FROM pg_catalog.pg_class c
     WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relname = ANY ($1::text[])`,
    [CATALOGUES.map(({ name }) => name)],
  );
  const withOid = new Map(present.map(({ name, oid }) => [name, oid]));
  const parts = CATALOGUES.flatMap(({ name, rows = OWN, volatile = [] }) => {
    const oid = withOid.get(name);
    if (oid === undefined) return [];
    const row = `(to_jsonb(t) - '{${volatile.join(',')}}'::text[])::text`;
    const text = oid ? `t.oid::text || ' ' || ${row}` : row;
    return [
      `(SELECT '${name} ' || md5(coalesce(string_agg(md5(${text}), '' ORDER BY md5(${text})), '')) FROM pg_catalog.${name} t WHERE ${rows})`,
    ];
  });
  const found = await session.query<{ fingerprint: string }>(
    doing,
    `SELECT md5(concat_ws('/', ${parts.join(', ')})) AS fingerprint`,
  );
  return onlyRow(found, 'the fingerprint').fingerprint;
}
