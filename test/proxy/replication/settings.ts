import type { ClientLineName } from '../client-lines.ts';

/** How the PostgreSQL behind must be started to play slots. */
export const UPSTREAM_SETTINGS = {
  wal_level: 'logical',
  track_commit_timestamp: 'on',
  max_replication_slots: '30',
  max_wal_senders: '30',
} as const;

/** What YugabyteDB has flags for, or what differs between its releases. Times in milliseconds. */
export interface ReplicationSettings {
  /** `max_replication_slots`: of the whole cluster, and not to be changed at run time (yb-master's flags). */
  readonly maxSlots: number;
  /** `ysql_cdc_active_replication_slot_window_ms`: how long after its last poll a slot counts as active. Five minutes by the docs, one by yb-tserver.md. */
  readonly activeWindowMs: number;
  /** `cdcsdk_publication_list_refresh_interval_secs`. */
  readonly publicationRefreshMs: number;
  /** `cdc_send_null_before_image_if_not_exists`. */
  readonly nullBeforeImages: boolean;
  /** `cdc_max_virtual_wal_per_tserver`: how many consumers a node serves at once. */
  readonly maxVirtualWals: number;
  /** `wal_sender_timeout`. */
  readonly walSenderTimeoutMs: number;
}

export const DEFAULT_SETTINGS: ReplicationSettings = {
  maxSlots: 10,
  activeWindowMs: 300_000,
  publicationRefreshMs: 900_000,
  nullBeforeImages: false,
  maxVirtualWals: 5,
  walSenderTimeoutMs: 60_000,
};

/** What a release line does; where it isn't known since when, the older lines have what is worse for a client. */
export interface LineBehaviour {
  /** Logical replication by PostgreSQL's protocol at all: since 2024.1.1 (docs, yugabytedb-connector). */
  readonly replicates: boolean;
  /** `HYBRID_TIME` as an LSN type: since 2024.2.2 (pull request 25698), and the line is 2024.2.1. */
  readonly lsnTypes: boolean;
  /** An UPDATE under CHANGE comes with an old tuple of nothing but unset columns (older expectations of TestPgReplicationSlot.java); newer: without. */
  readonly emptyOldTuple: boolean;
  /** The Relation message of CHANGE marks the key columns (relcache.c RelationGetIndexList, "we always get the primary key"). */
  readonly changeMarksKeys: boolean;
  /** Publications are followed at commit time (`ysql_yb_enable_implicit_dynamic_tables_logical_replication`), and rewrites streamed: since 2026.1. */
  readonly dynamicTables: boolean;
  /** Rows that were rolled back to a savepoint are left out (`cdc_enable_savepoint_rollback_filtering`): since 2025.2.2.0 (issue 10936), and the line is 2025.2.1. */
  readonly filtersSavepoints: boolean;
}

export const LINE_BEHAVIOUR: Readonly<Record<ClientLineName, LineBehaviour>> = {
  '2.18': {
    replicates: false,
    lsnTypes: false,
    emptyOldTuple: true,
    changeMarksKeys: false,
    dynamicTables: false,
    filtersSavepoints: false,
  },
  '2024.2': {
    replicates: true,
    lsnTypes: false,
    emptyOldTuple: true,
    changeMarksKeys: false,
    dynamicTables: false,
    filtersSavepoints: false,
  },
  '2025.2': {
    replicates: true,
    lsnTypes: true,
    emptyOldTuple: true,
    changeMarksKeys: false,
    dynamicTables: false,
    filtersSavepoints: false,
  },
  '2026.1': {
    replicates: true,
    lsnTypes: true,
    emptyOldTuple: false,
    changeMarksKeys: true,
    dynamicTables: true,
    filtersSavepoints: true,
  },
};
