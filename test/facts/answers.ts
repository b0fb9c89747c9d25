import type { ClientLine } from '../proxy/client-lines.ts';
import type { LineBehaviour, ReplicationSettings } from '../proxy/replication/settings.ts';
import type { FactId } from './facts.ts';

/** What differs between release lines of the client programs, and how it is known that it does. */
export const LINE_FACTS: Readonly<Record<Exclude<keyof ClientLine, 'name'>, FactId>> = {
  version: 'server.version',
  major: 'server.version',
  readTime: 'dump.read-time',
  roleChecks: 'dump.role-checks',
  statistics: 'dump.statistics',
  readsHostVariable: 'dump.host',
  restrict: 'dump.restrict',
  partitionOf: 'dump.partition-of',
  quotesUsingIndex: 'dump.using-index',
};

/** Functions that the proxy gives the server or answers in its place. */
export const FUNCTION_FACTS: Readonly<Record<string, FactId>> = {
  version: 'server.version',
  yb_hash_code: 'server.hash-code',
  yb_servers: 'server.servers',
  yb_servers_at: 'server.servers',
  yb_terminate_backend: 'server.backends',
  yb_index_check: 'server.index-check',
  yb_catalog_versions: 'server.catalog-version',
  yb_table_properties: 'server.table-properties',
  yb_get_range_split_clause: 'server.split-clause',
  yb_place: 'server.split-clause',
  yb_colocate: 'dump.colocation',
  yb_note_key: 'dump.primary-key',
  yb_make_tablegroup: 'server.tablegroups',
  yb_own_tablegroup: 'server.tablegroups',
  yb_stand_in_table_size: 'server.sizes',
  yb_stand_in_relation_size: 'server.sizes',
  yb_is_database_colocated: 'server.colocated',
  yb_is_local_table: 'server.colocated',
  yb_catalog_version: 'server.catalog-version',
  yb_stand_in_call: 'server.slots',
  yb_may_replicate: 'server.slots',
  yb_create_logical_replication_slot: 'server.slots',
  yb_create_physical_replication_slot: 'server.slots',
  yb_drop_replication_slot: 'server.slots',
  yb_get_replication_slots: 'server.slots',
  yb_get_current_hybrid_time_lsn: 'server.slot-lsn',
  yb_logical_slot_changes: 'server.slot-guesses',
  yb_local_wal_lsn: 'server.wal-functions',
  yb_logical_emit_message: 'server.wal-functions',
  yb_no_xid: 'server.wal-functions',
  relreplident: 'server.replica-identity',
  yb_note_replica_identity: 'server.replica-identity',
  yb_log_whole_rows: 'server.replica-identity',
  yb_rows_written: 'server.slot-savepoints',
  yb_feed_mark: 'server.slot-savepoints',
};

/** What differs between release lines in logical replication. */
export const REPLICATION_LINE_FACTS: Readonly<Record<keyof LineBehaviour, FactId>> = {
  replicates: 'server.slots',
  lsnTypes: 'server.slot-lsn',
  emptyOldTuple: 'server.yboutput',
  changeMarksKeys: 'server.yboutput',
  dynamicTables: 'server.slot-tables',
  filtersSavepoints: 'server.slot-savepoints',
};

/** Flags of logical replication that the stand-in has. */
export const REPLICATION_SETTING_FACTS: Readonly<Record<keyof ReplicationSettings, FactId>> = {
  maxSlots: 'server.slots',
  activeWindowMs: 'server.slot-lock',
  publicationRefreshMs: 'server.slot-tables',
  nullBeforeImages: 'server.before-image',
  maxVirtualWals: 'server.slot-lock',
  walSenderTimeoutMs: 'server.slots',
};

/** Settings of YugabyteDB that the proxy knows; those that only programs set are in `program-dialect.ts`. */
export const SETTING_FACTS: Readonly<Record<string, FactId>> = {
  yb_disable_catalog_version_check: 'dump.read-time-settings',
  yb_read_time: 'server.read-time',
  yb_default_copy_from_rows_per_transaction: 'server.copy',
  yb_disable_transactional_writes: 'server.transactional-writes',
};

/** Operations of the simulated yb-admin. */
export const OPERATION_FACTS: Readonly<Record<string, FactId>> = {
  create_database_snapshot: 'admin.snapshots',
  create_keyspace_snapshot: 'admin.snapshots',
  create_snapshot: 'admin.snapshots',
  list_snapshots: 'admin.snapshots',
  export_snapshot: 'admin.snapshots',
  import_snapshot: 'admin.snapshots',
  delete_snapshot: 'admin.snapshots',
  restore_snapshot: 'admin.snapshots',
  list_snapshot_restorations: 'admin.snapshots',
  abort_snapshot_restore: 'admin.snapshots',
  create_snapshot_schedule: 'admin.schedules',
  list_snapshot_schedules: 'admin.schedules',
  edit_snapshot_schedule: 'admin.schedules',
  delete_snapshot_schedule: 'admin.schedules',
  restore_snapshot_schedule: 'admin.schedules',
  clone_namespace: 'admin.schedules',
  list_clones: 'admin.schedules',
  list_all_masters: 'admin.topology',
  list_all_tablet_servers: 'admin.topology',
  list_tablets: 'admin.topology',
  list_tablet_servers: 'admin.topology',
  list_namespaces: 'admin.topology',
  list_tables: 'admin.topology',
  ysql_catalog_version: 'admin.upkeep',
  flush_table: 'admin.upkeep',
  flush_table_by_id: 'admin.upkeep',
  set_load_balancer_enabled: 'admin.upkeep',
  get_load_balancer_state: 'admin.upkeep',
  get_is_load_balancer_idle: 'admin.upkeep',
  disable_tablet_splitting: 'admin.upkeep',
  is_tablet_splitting_complete: 'admin.upkeep',
  get_universe_config: 'admin.upkeep',
  is_encryption_enabled: 'admin.upkeep',
  all_masters_have_universe_key_in_memory: 'admin.neighbours',
  list_cdc_streams: 'admin.neighbours',
  list_change_data_streams: 'admin.neighbours',
  list_xcluster_outbound_replication_groups: 'admin.neighbours',
  get_xcluster_outbound_replication_group_info: 'admin.neighbours',
  list_universe_replications: 'admin.neighbours',
  get_universe_replication_info: 'admin.neighbours',
};

/** Pages of the simulated servers. */
export const PAGE_FACTS: Readonly<Record<string, FactId>> = {
  '/dump-entities': 'pages.entities',
  '/api/v1/tablet-servers': 'pages.servers',
  '/api/v1/health-check': 'pages.servers',
  '/varz': 'pages.flags',
};
