/**
 * What is known of YugabyteDB's client programs and of the server as they meet it, with where it is known from. Stand-ins name the
 * fact that an answer of theirs rests on by its id; `facts.test.ts` finds answers that name none. Numbers are of issues and pull
 * requests of github.com/yugabyte/yugabyte-db; files are of its `src/postgres/src`.
 */
export interface Fact {
  readonly says: string;
  /**
   * `run`: the real program was run (2.17 of the PostgreSQL 11 line, a development build of the 15 line). `source`: upstream's
   * source, issue or expected output says so. `docs`: upstream's documentation says so. `open`: nobody has seen it.
   */
  readonly known: 'run' | 'source' | 'docs' | 'open';
  readonly from: string;
}

const RUN = 'the programs of 2.17 and of the PostgreSQL 15 development line, run';

export const FACTS = {
  'dump.banner': {
    says: '`ysql_dump --version` prints `ysql_dump (YSQL) 15.x-YB-…`, and `ysql_dumpall` alike.',
    known: 'run',
    from: `${RUN}; bin/pg_dump/pg_dump.c main, pg_dumpall.c PGDUMP_VERSIONSTR`,
  },
  'shell.banner': {
    says: '`ysqlsh --version` prints `psql (PostgreSQL) 15.x…`.',
    known: 'run',
    from: RUN,
  },
  'programs.folders': {
    says: 'An installation has `postgres/bin/{ysql_dump,ysql_dumpall,ysqlsh}` and `bin/{ysqlsh,yb-admin}`.',
    known: 'docs',
    from: 'admin/ysql-dump ("located in the postgres/bin directory"); #22764',
  },
  'dump.first-argument': {
    says: '`--version` and `--help` count only as the first argument; elsewhere they are unknown options.',
    known: 'run',
    from: RUN,
  },
  'dump.unknown-option': {
    says: 'An unknown option is refused with `PATH: unrecognized option \'--x\'` and `Try "ysql_dump --help" …`, exit code 1.',
    known: 'run',
    from: RUN,
  },
  'dump.read-time': {
    says: '`--read-time` stands in no help; it takes microseconds since 1970 and nothing else. Unknown to 2.17 and to early builds of the PostgreSQL 15 line.',
    known: 'source',
    from: 'bin/pg_dump/pg_dump.c getopt case 12 and help()',
  },
  'dump.read-time-settings': {
    says: 'With `--read-time` the session sets `yb_read_time` and `yb_disable_catalog_version_check`.',
    known: 'source',
    from: 'bin/pg_dump/pg_dump.c setup_connection',
  },
  'dump.serializable': {
    says: 'A dump is serializable and deferrable unless `--no-serializable-deferrable` is given, and then refuses an imported snapshot.',
    known: 'run',
    from: `${RUN}; bin/pg_dump/pg_dump.c setup_connection`,
  },
  'dump.host': {
    says: '`ysql_dump` ignores PGHOST up to January 2026: without `--host` it dumps localhost. Newer builds honour it.',
    known: 'run',
    from: `${RUN}; #13182, mended by pull request 29976`,
  },
  'programs.defaults': {
    says: 'The programs go to port 5433 as user yugabyte where nothing else is said; PGPORT, PGUSER, PGDATABASE, PGPASSWORD, PGOPTIONS and PGSSL* are honoured.',
    known: 'run',
    from: RUN,
  },
  'programs.no-prompt': {
    says: 'Without a password and a terminal a program ends with `fe_sendauth: no password supplied`, exit code 1; with `-w` it never prompts.',
    known: 'run',
    from: RUN,
  },
  'dump.metadata': {
    says: 'With `--include-yb-metadata` a dump of the schema alone has the values of sequences, and the session sets `yb_format_funcs_include_yb_metadata`.',
    known: 'run',
    from: `${RUN}; bin/pg_dump/pg_dump.c (sequence_data), ruleutils.c`,
  },
  'dump.settings': {
    says: 'A dump sets `yb_binary_restore`, `yb_non_ddl_txn_for_sys_tables_allowed`, `yb_ignore_pg_class_oids` and `yb_disable_auto_analyze`, and calls `binary_upgrade_set_next_…` for the OIDs of what it creates.',
    known: 'run',
    from: `${RUN}; bin/pg_dump/pg_backup_archiver.c`,
  },
  'dump.own-options': {
    says: '`--masters` is taken and ignored; `--no-tablegroups` and `--no-tablegroup-creations` leave those out.',
    known: 'run',
    from: RUN,
  },
  'dump.role-checks': {
    says: '`--dump-role-checks` is known from 2.25 and 2025.1 on and wants `--include-yb-metadata` beside it, else exit code 1.',
    known: 'source',
    from: 'bin/pg_dump/pg_dump.c; expected output yb_ysql_dump_with_dump_role_checks',
  },
  'dump.statistics': {
    says: 'From 2.25.2 and 2025.2 on statistics of the planner are dumped by default; `--no-statistics` leaves them out. Older programs refuse the option.',
    known: 'source',
    from: 'expected output yb_ysql_dump_with_dump_role_checks (15.12-YB-2.25.2)',
  },
  'dump.restrict': {
    says: 'Dumps of 2025.2.7.0 and 2026.1.2.0 on begin with `\\restrict`; an older `ysqlsh` ends there with `invalid command \\restrict`.',
    known: 'docs',
    from: 'export-import-data-ysql; pull request 33936',
  },
  'dump.partition-of': {
    says: 'The PostgreSQL 11 line writes `CREATE TABLE … PARTITION OF … FOR VALUES …` and no TABLE ATTACH.',
    known: 'run',
    from: RUN,
  },
  'dump.unique': {
    says: 'A UNIQUE constraint is two statements: `CREATE UNIQUE INDEX …`, then `ADD CONSTRAINT … UNIQUE USING INDEX …`.',
    known: 'run',
    from: `${RUN}; #24260 for partitioned tables`,
  },
  'dump.using-index': {
    says: 'The name after `USING INDEX` is not quoted by builds before January 2026.',
    known: 'run',
    from: `${RUN}; #29838`,
  },
  'dump.old-connection-texts': {
    says: 'The PostgreSQL 11 line says `could not connect to server: …` where the 15 line says `connection to server at … failed: …`.',
    known: 'run',
    from: RUN,
  },
  'dumpall.hidden-cause': {
    says: '`ysql_dumpall` says `could not connect to database "…"` for a wrong password, a missing database and a refused connection alike, exit code 1.',
    known: 'run',
    from: RUN,
  },
  'dumpall.tablespaces': {
    says: 'A tablespace of YugabyteDB has a placement and no folder.',
    known: 'docs',
    from: 'explore/going-beyond-sql/tablespaces',
  },
  'client.older': {
    says: 'An 11 client refuses a 15 server (`aborting because of server version mismatch`); a 15 client dumps an 11 server.',
    known: 'run',
    from: RUN,
  },
  'server.version': {
    says: '`version()` and `server_version` are PostgreSQL’s version with `-YB-` and the release behind it: 11.2 up to 2024.2, 15 from 2025.1 on.',
    known: 'docs',
    from: 'api/ysql; src/postgres/configure',
  },
  'server.read-time': {
    says: '`SET yb_read_time` reads as of an instant, prints a notice, refuses writes, and says `Snapshot too old … kSnapshotTooOld` before the history; the session is then of no use.',
    known: 'docs',
    from: 'manage/backup-restore/time-travel-query; #19608, #30993',
  },
  'server.hash-code': {
    says: '`yb_hash_code(keys…)` is 0 to 65535, of exactly the columns of the hash key.',
    known: 'docs',
    from: 'api/ysql/exprs/func_yb_hash_code',
  },
  'server.hash-keys': {
    says: 'The first column of a primary key is hashed unless it says otherwise; bit 4 of `pg_index.indoption` (INDOPTION_HASH) says so.',
    known: 'source',
    from: 'include/catalog/pg_index.h',
  },
  'server.servers': {
    says: '`yb_servers()` lists host, port, node_type, cloud, region, zone, uuid of every tablet server.',
    known: 'docs',
    from: 'api/ysql/exprs/func_yb_servers',
  },
  'server.table-properties': {
    says: '`yb_table_properties(oid)` gives num_tablets, num_hash_key_columns, is_colocated, tablegroup_oid and colocation_id.',
    known: 'source',
    from: 'backend/utils/misc/pg_yb_utils.c',
  },
  'server.split-clause': {
    says: '`yb_get_range_split_clause(oid)` gives the SPLIT AT clause of a range-sharded table, empty for one tablet, NULL for a hash-sharded one.',
    known: 'source',
    from: 'backend/utils/misc/pg_yb_utils.c',
  },
  'server.tablegroups': {
    says: 'Tables of a tablegroup are colocated in it; `pg_yb_tablegroup` lists the tablegroups with owner, privileges and tablespace.',
    known: 'source',
    from: 'include/catalog/pg_yb_tablegroup.h; bin/pg_dump/pg_dump.c getYbTablePropertiesAndReloptions',
  },
  'server.savepoints': {
    says: 'In a transaction DDL is refused after a savepoint, and a savepoint after DDL.',
    known: 'source',
    from: '#26734, #31810',
  },
  'server.alone': {
    says: 'CREATE TABLEGROUP is refused in a transaction and in a text of several statements; CREATE INDEX there is built without its online backfill.',
    known: 'source',
    from: 'backend/tcop/utility.c (isTopLevel), #10105, #31294',
  },
  'dump.primary-key': {
    says: 'A primary key stands in CREATE TABLE: `PRIMARY KEY((a) HASH, b ASC)`; its comment, replica identity and CLUSTER are lost.',
    known: 'run',
    from: `${RUN}; bin/pg_dump/pg_dump.c dumpConstraint`,
  },
  'dump.colocation': {
    says: "`CREATE DATABASE … colocation = true` is written with and without metadata; with metadata `WITH (colocation_id='20001')` of tables, `WITH (colocation_id=40001)` of indexes and `WITH (colocation='false')`.",
    known: 'source',
    from: 'test/regress/data/yb_ysql_dump_colocated_database.data.sql, yb_ysql_dump.data.sql (tablegroups)',
  },
  'programs.password': {
    says: 'Without a password in the environment and without `-w` a program asks its terminal for one.',
    known: 'run',
    from: RUN,
  },
  'server.sizes': {
    says: '`pg_relation_size` looks at local files and is 0; `pg_table_size` is NULL for a colocated table.',
    known: 'source',
    from: 'backend/utils/adt/dbsize.c',
  },
  'server.colocated': {
    says: '`yb_is_database_colocated(check_legacy)` tells whether a database is colocated; `yb_is_local_table(oid)` whether a table has a tablet here.',
    known: 'source',
    from: 'backend/utils/misc/pg_yb_utils.c',
  },
  'server.catalog-version': {
    says: '`yb_catalog_version()` rises with DDL, and with ANALYZE.',
    known: 'source',
    from: '#21764, #1721',
  },
  'server.copy': {
    says: '`COPY … FROM` commits every 20,000 rows unless `ROWS_PER_TRANSACTION` or `yb_default_copy_from_rows_per_transaction` say otherwise; 0 is one transaction.',
    known: 'docs',
    from: 'api/ysql/the-sql-language/statements/cmd_copy',
  },
  'server.transactional-writes': {
    says: '`yb_disable_transactional_writes` gives up atomicity for speed.',
    known: 'docs',
    from: 'api/ysql/the-sql-language/statements/cmd_copy',
  },
  'server.backends': {
    says: '`pg_stat_activity` and `pg_terminate_backend` know the sessions of their node alone; a database is renamed and dropped whatever sessions other nodes have in it.',
    known: 'source',
    from: '#13966, #7400, #33209',
  },
  'server.superuser-settings': {
    says: '`yb_read_time` and `yb_disable_catalog_version_check` are PGC_SUSET: 42501, "permission denied to set parameter", for other roles.',
    known: 'docs',
    from: '#19608; docs, advanced-topic of logical replication, "Permissions"; USERSET is proposed in pull request 30962',
  },
  'server.export-snapshot': {
    says: '`pg_export_snapshot()` is refused while `ysql_enable_pg_export_snapshot` is off, as it is by default before 2025.2.2.0.',
    known: 'docs',
    from: 'docs, advanced-features/snapshot-synchronization; pull request 32263',
  },
  'server.passing-errors': {
    says: 'Errors that pass by themselves (time-outs, leaders that move, read restarts, catalog and schema versions) come with SQLSTATE XX000, or 40001, or YB… in newer builds.',
    known: 'source',
    from: '#3587, #7993, #8992, #9388, #15220, #24004, #28956',
  },
  'server.slots': {
    says: '`CREATE_REPLICATION_SLOT name LOGICAL plugin [EXPORT_SNAPSHOT|NOEXPORT_SNAPSHOT|USE_SNAPSHOT] [SEQUENCE|HYBRID_TIME]`; the default is USE_SNAPSHOT, whose `snapshot_name` is a hybrid time, and SEQUENCE; exporting, temporary and physical slots, and DROP … WAIT, are refused. A cluster has ten slots, a name is one of the cluster. `pg_replication_slots` has `yb_stream_id` and `yb_restart_commit_ht`, later `yb_lsn_type` and `yb_restart_time`.',
    known: 'source',
    from: 'backend/replication/repl_gram.y, walsender.c, slot.c, slotfuncs.c; commands/ybccmds.c; ysql_migrations; logical replication since 2024.1.1 (docs, yugabytedb-connector)',
  },
  'server.slot-lsn': {
    says: 'SEQUENCE counts the records of a slot from 2 on; with HYBRID_TIME, from 2024.2.2 on, each record has the hybrid time of its commit. A commit ends at its LSN plus one; the LSN of a commit acknowledges it; a feedback with nothing open is not kept, one beyond what was sent is; a start before the confirmed place moves there without a word. `confirmed_flush_lsn` is 0/2 and `restart_lsn` 0/1 before the first feedback, of either type.',
    known: 'source',
    from: 'src/yb/cdc/cdcsdk_virtual_wal.cc GetRecordLSN; yb_decode.c YBDecodeCommit; yb_virtual_wal_client.c CalculateRestartLSN; logical.c CreateDecodingContext; xrepl_catalog_manager.cc PopulateCDCStateTable; pull request 25698',
  },
  'server.slot-snapshot': {
    says: 'A read as of the `snapshot_name` of a slot, with ` ht` behind it, sees what committed up to then, and the slot sends what committed after it.',
    known: 'docs',
    from: 'docs, advanced-topic of logical replication, "Initial snapshot", "Using the HYBRID_TIME LSN"',
  },
  'server.slot-lock': {
    says: 'A second START_REPLICATION on a slot is accepted, up to `cdc_max_virtual_wal_per_tserver` (5) on a node. `active` means polled within `ysql_cdc_active_replication_slot_window_ms`, and until then a drop fails with `replication slot "x" is active`.',
    known: 'source',
    from: '#20755, #33050; slot.c ReplicationSlotDrop; docs, streaming_drop_repl_slot (five minutes) and yb-tserver (one minute)',
  },
  'server.slot-expiry': {
    says: 'Where the retention took what a slot needs, reads fail with `CDCSDK Trying to fetch already GCed intents for transaction …`. A slot in good health may say so for a moment too, and after a restart of the tablet server one may find nothing for ever, without an error.',
    known: 'source',
    from: 'src/yb/cdc/cdcsdk_producer.cc; #27835, #28840; #31090; #33198',
  },
  'server.slot-tables': {
    says: 'A slot reads the tables that a publication had when the slot was made; a later publication does not exist for it. Up to 2025.2 the list is read again each `cdcsdk_publication_list_refresh_interval_secs` (900), and what was written to a new table before is never sent; from 2026.1 on it follows each commit. Tables without a primary key are left out.',
    known: 'source',
    from: 'yb_virtual_wal_client.c InitVirtualWal, YBCRemoveTablesWithoutPrimaryKeyIfNotAllowedBySlot; docs, advanced-topic, "Versions earlier than v2026.1"; #19291',
  },
  'server.slot-ddl': {
    says: 'Up to 2025.2 TRUNCATE and what rewrites a table are refused while its database has a slot (`cannot rewrite a table that is a part of CDC or XCluster replication`). DROP TABLE goes through, and what nobody has read is gone. TRUNCATE is never sent; from 2026.1 on a rewrite sends the rows again.',
    known: 'source',
    from: 'yb-voyager #2272; #16625; #17951; docs, LR/_index "Limitations"; #29674, #31636',
  },
  'server.yboutput': {
    says: 'Messages are those of pgoutput. Under CHANGE an UPDATE has the key and what changed, and `u` for the rest, as for an unchanged TOAST value; older builds send an old tuple of nothing but `u` before it, and mark no key in the Relation message. A DELETE has the key and NULLs. A primary key that changes is DELETE and INSERT.',
    known: 'source',
    from: 'proto.c logicalrep_write_tuple; TestPgReplicationSlot.java testReplicationConnectionConsumption, of two ages; relcache.c RelationGetIndexList; the changed key: docs of Striim',
  },
  'server.replica-identity': {
    says: '`relreplident` of a table is `c`, CHANGE, unless it was altered. For a slot the identity at its making stays in force. pgoutput fails at START_REPLICATION with `replica identity CHANGE (for table: n) is not supported for output plugin pgoutput`.',
    known: 'source',
    from: 'yb_virtual_wal_client.c ValidateReplicaIdentities; slot.c ReplicationSlotAcquire; docs, key-concepts',
  },
  'server.before-image': {
    says: 'A row that is updated or deleted in the transaction that inserted it has no image of before; under another identity than CHANGE the stream fails unless `cdc_send_null_before_image_if_not_exists` is on.',
    known: 'docs',
    from: 'docs, LR/_index "Limitations"; the text of the error: yugabyte connector, YugabyteDBCdcErrorClassifierTest',
  },
  'server.slot-savepoints': {
    says: 'Before 2025.2.2.0 a slot sends rows that were rolled back to a savepoint, as if they had been committed. Played for a rollback of a transaction that has not failed.',
    known: 'source',
    from: '#10936; cdcsdk_producer.cc cdc_enable_savepoint_rollback_filtering ("data that was never actually committed")',
  },
  'server.wal-functions': {
    says: '`txid_current()` says `Yugabyte does not support xid`. `pg_current_wal_lsn()` and IDENTIFY_SYSTEM are called unsupported, and answer with what the node’s own PostgreSQL has, which says nothing. Reading a slot by SQL functions is unsupported.',
    known: 'source',
    from: 'backend/utils/adt/txid.c; access/transam/xlogfuncs.c and walsender.c IdentifySystem, where nothing refuses them; docs, LR/_index "Limitations"',
  },
  'server.slot-guesses': {
    says: 'Nobody has seen what 2.18 says to a replication command, what `pg_logical_slot_get_changes` says, the text at the cap of virtual WALs beyond `max capacity reached`, and since which release an UPDATE under CHANGE has no empty old tuple and its Relation marks the key.',
    known: 'open',
    from: '#33050 for the cap; the rest is the worse of what is possible',
  },
  'server.index-check': {
    says: '`yb_index_check(oid)` raises XX002 for an index that is not as its table, and 0A000 for ybgin; a primary key is the table. In 2.20.11, 2024.1.6, 2024.2.3, 2025.1 and later.',
    known: 'source',
    from: 'docs, func_yb_index_check; backend/utils/misc/yb_index_check.c; #25820',
  },
  'admin.texts': {
    says: 'The words, columns, exit codes and usages of `yb-admin`, by release.',
    known: 'source',
    from: 'src/yb/tools/yb-admin_cli.cc, yb-admin_client.cc; admin/yb-admin',
  },
  'admin.snapshots': {
    says: 'Snapshots are made, listed, exported, imported, restored and deleted asynchronously; one without a retention ends after 24 hours from about 2.19 on.',
    known: 'source',
    from: 'src/yb/master/catalog_manager_ext.cc; manage/backup-restore/snapshot-ysql; #27289',
  },
  'admin.carried-history': {
    says: '`restore_snapshot` takes an instant within the history that a snapshot carries: back to the previous snapshot of its schedule. Nothing checks whether the instant is within it, or before DDL.',
    known: 'docs',
    from: 'yugabyte-platform back-up-universes restore (facts: change-archive, "Alternative for universes")',
  },
  'admin.schedules': {
    says: 'Snapshot schedules, restoring by them, and clones.',
    known: 'docs',
    from: 'manage/backup-restore/point-in-time-recovery, instant-db-cloning',
  },
  'admin.topology': {
    says: 'Masters, tablet servers, tablets and their replicas as `yb-admin` lists them.',
    known: 'source',
    from: 'src/yb/tools/yb-admin_client.cc',
  },
  'admin.upkeep': {
    says: 'The load balancer, tablet splitting, flags and the catalog version as `yb-admin` tells them.',
    known: 'source',
    from: 'src/yb/tools/yb-admin_client.cc; #12410, #33825',
  },
  'admin.neighbours': {
    says: 'Streams of change data capture, replication between universes and the key of encryption at rest as `yb-admin` tells them.',
    known: 'source',
    from: 'src/yb/tools/yb-admin_cli.cc (00743dee), yb-admin_client.cc ListCDCStreams, ListCDCSDKStreams, AllMastersHaveUniverseKeyInMemory',
  },
  'pages.entities': {
    says: '`/dump-entities` of the leading master: keyspaces, tables, tablets with replicas.',
    known: 'source',
    from: 'src/yb/master/master-path-handlers.cc',
  },
  'pages.servers': {
    says: '`/api/v1/tablet-servers` and `/api/v1/health-check` of the leading master; may be incomplete.',
    known: 'source',
    from: 'src/yb/master/master-path-handlers.cc; #15655',
  },
  'pages.flags': {
    says: '`/varz` of a server: its flags.',
    known: 'source',
    from: 'src/yb/server/default-path-handlers.cc',
  },
} as const satisfies Readonly<Record<string, Fact>>;

export type FactId = keyof typeof FACTS;
