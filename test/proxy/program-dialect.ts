import type { FactId } from '../facts/facts.ts';

/** Settings that YugabyteDB's programs and dumps set, with their defaults. PostgreSQL has none of them. */
export const PROGRAM_SETTINGS: readonly {
  readonly name: string;
  readonly value: string;
  readonly fact: FactId;
}[] = [
  { name: 'yb_format_funcs_include_yb_metadata', value: 'off', fact: 'dump.metadata' },
  { name: 'yb_disable_catalog_version_check', value: 'off', fact: 'dump.read-time-settings' },
  { name: 'yb_binary_restore', value: 'off', fact: 'dump.settings' },
  { name: 'yb_non_ddl_txn_for_sys_tables_allowed', value: 'off', fact: 'dump.settings' },
  { name: 'yb_ignore_pg_class_oids', value: 'on', fact: 'dump.settings' },
  { name: 'yb_ignore_heap_pg_class_oids', value: 'on', fact: 'dump.settings' },
  { name: 'yb_disable_auto_analyze', value: 'off', fact: 'dump.settings' },
];

/**
 * Functions by which a dump with YugabyteDB's metadata gives objects their former OIDs (fact `dump.settings`). PostgreSQL has them too, but
 * they work only during its upgrade, so here they do nothing.
 */
export const NEUTRAL_FUNCTIONS = /^binary_upgrade_(?:set_next_|set_record_init_privs|create_empty_extension)/;
