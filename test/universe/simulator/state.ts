import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Action, Trigger, UniverseConfig } from '../model.ts';

/** A universe's whole state, in one file that is replaced after each change. The rows are in PostgreSQL and in the tablets' files. */
export interface State {
  readonly config: UniverseConfig;
  /** First three numbers of the hosts' addresses, e.g. `127.31.7`: every node has its own address. */
  readonly network: string;
  readonly postgresPort: number;
  readonly proxyPort: number;
  readonly controlPort: number;
  readonly clusterUuid: string;
  readonly masters: MasterState[];
  readonly tservers: TserverState[];
  readonly namespaces: NamespaceState[];
  tables: TableState[];
  tablets: TabletState[];
  readonly snapshots: SnapshotState[];
  readonly restorations: RestorationState[];
  schedules: ScheduleState[];
  readonly clones: CloneState[];
  readonly neighbours: NeighbourState[];
  encryption?: { readonly key: string; readonly inMemory: boolean };
  triggers: (Trigger & { left: number })[];
  refusals: (Extract<Action, { do: 'refuse' }> & { left: number })[];
  lostAnswers: (Extract<Action, { do: 'loseAnswer' }> & { left: number })[];
  delays: (Extract<Action, { do: 'delay' }> & { left: number })[];
  readonly calls: Record<string, number>;
  clockOffsetMs: number;
  lastMicros: string;
  loadBalancerEnabled: boolean;
  splittingHolds: Record<string, number>;
  endOf: {
    snapshots: 'well' | 'never' | 'failed';
    restorations: 'well' | 'never' | 'failed';
    deletions: 'well' | 'never';
  };
  balance: { everyMs: number; copySnapshots: boolean; nextAt: number };
  growth: { everyMs: number; nextAt: number };
  /** Tables whose tablets listings leave out. */
  hidden: string[];
  /** UUID of another universe's tablet server, which YSQL claims to belong to. */
  ysqlOf?: string;
  /** Which of a snapshot's tables an import finds when it matches them by what the dump keeps. */
  imports: 'all' | 'none';
  slowImports: { msPerTable: number; left: number };
  /** Tables that an import has yet to re-partition though its caller gave up. */
  lateTables: { readonly tableId: string; readonly old: SnapshotTable; readonly dueAt: number }[];
}

export interface MasterState {
  readonly uuid: string;
  readonly host: string;
  alive: boolean;
  leads: boolean;
}

export interface TserverState {
  readonly uuid: string;
  readonly host: string;
  readonly dataDirectories: readonly string[];
  readonly readReplica: boolean;
  alive: boolean;
  /** Its last message, if it died by itself. */
  diedOf?: string;
}

export interface NamespaceState {
  readonly id: string;
  readonly kind: 'ysql' | 'ycql';
  name: string;
  colocated: boolean;
  gone: boolean;
}

export interface TableState {
  readonly id: string;
  readonly namespaceId: string;
  schema: string;
  name: string;
  readonly kind: 'table' | 'index' | 'matview' | 'parent';
  /** The table of an index. */
  readonly indexedTableId?: string;
  /** True: it has no row in YSQL's catalogue (issues 12816, 13275). */
  readonly orphan?: boolean;
  /** The parent table whose tablet holds its rows. */
  readonly parentId?: string;
  /** PostgreSQL's oid; 0 for a table that it doesn't have. */
  readonly oid: number;
  /** Version of its schema, raised when a snapshot finds other columns than the previous one. Absent: 0. */
  version?: number;
  /** The columns that the last snapshot found, as JSON. */
  columns?: string;
}

/** The files of a replica: row sets by bucket, as a compaction might have left them on this server only. */
export interface FileSet {
  /** Number of row sets, and the salt that spreads rows over them; both differ between replicas. */
  readonly buckets: number;
  readonly salt: number;
  nextNumber: number;
  /** Files by bucket; a bucket without rows has none. */
  files: Record<string, { readonly number: number; readonly digest: string }>;
}

export interface ReplicaState {
  readonly server: string;
  readonly directory: string;
  readonly role: 'VOTER' | 'OBSERVER' | 'PRE_VOTER';
  files: FileSet;
}

export interface TabletState {
  readonly id: string;
  readonly tableId: string;
  /** Hash codes [start, end) of 0..65536. */
  readonly start: number;
  readonly end: number;
  state: 'RUNNING' | 'REPLACED';
  replicas: ReplicaState[];
  leader?: string;
  /** Until when it has no leader, milliseconds since 1970 on the universe's clock. */
  leaderlessUntil?: number;
}

export interface SnapshotState {
  readonly id: string;
  state: 'CREATING' | 'COMPLETE' | 'DELETING' | 'DELETED' | 'FAILED';
  readonly micros: string;
  readonly previousMicros?: string;
  readonly namespaceId: string;
  readonly imported: boolean;
  readonly scheduleId?: string;
  /** When the universe itself deletes it; undefined: never. */
  readonly expiresAt?: number;
  /** When CREATING, or DELETING, ends. */
  turnsAt: number;
  readonly end: 'well' | 'never' | 'failed';
  readonly objects: readonly SnapshotTable[];
  readonly namespaceName: string;
  /** For a scheduled snapshot: which of PostgreSQL's transactions it includes. */
  readonly visible?: string;
}

/** A table as of the snapshot: what is exported, and what an import compares with. */
export interface SnapshotTable {
  readonly id: string;
  readonly schema: string;
  readonly name: string;
  readonly kind: TableState['kind'];
  readonly indexedTableId?: string;
  readonly parentId?: string;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly version?: number;
  /** YCQL: the statements that recreate it. */
  readonly definition?: readonly string[];
  readonly tablets: readonly { readonly id: string; readonly start: number; readonly end: number }[];
}

export interface RestorationState {
  readonly id: string;
  readonly snapshotId: string;
  state: 'RESTORING' | 'RESTORED' | 'FAILED';
  turnsAt: number;
  readonly end: 'well' | 'never' | 'failed';
  problem?: string;
  /** Instant in the history that the snapshot carries, microseconds since 1970. */
  readonly micros?: string;
  /** Instant in a schedule's history, for a rewind in place. */
  readonly rewind?: { readonly scheduleId: string; readonly micros: string };
}

export interface ScheduleState {
  readonly id: string;
  readonly namespaceId: string;
  intervalMs: number;
  retentionMs: number;
  nextAt: number;
  deletedAt?: number;
}

/** A stream, or a replication group's part in one database or keyspace. */
export interface NeighbourState {
  readonly kind: 'change-data-stream' | 'xcluster-source' | 'xcluster-target';
  /** Name of the replication group. */
  readonly name: string;
  readonly id: string;
  readonly namespaceId: string;
}

export interface CloneState {
  readonly sourceNamespaceId: string;
  readonly scheduleId: string;
  problem?: string;
  readonly sequence: number;
  readonly target: string;
  readonly micros: string;
  state: 'RESTORING' | 'COMPLETE' | 'ABORTED';
  turnsAt: number;
}

const FILE = 'state.json';

export function loadState(directory: string): State | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, FILE), 'utf8')) as State;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

export function saveState(directory: string, state: State): void {
  const file = join(directory, FILE);
  writeFileSync(`${file}.new`, JSON.stringify(state));
  renameSync(`${file}.new`, file);
}
