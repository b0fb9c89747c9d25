/** What is said between a test, the simulated universe and its programs: plain data. */

/** Lines of YugabyteDB's releases whose yb-admin, columns and abilities differ. */
export type ProfileName = '2.18' | '2024.2' | '2025.2';

export interface UniverseConfig {
  readonly profile: ProfileName;
  /** Tablet servers that vote; each on a host of its own. */
  readonly tservers: number;
  /** Tablet servers that hold read replicas only. */
  readonly readReplicas: number;
  /** How many tablet servers hold each tablet; and how many masters there are. */
  readonly replicationFactor: number;
  /** Data directories (disks) of each tablet server. */
  readonly dataDirectories: number;
  readonly tabletsPerTable: number;
  /** yb-admin must be given a folder of certificates. */
  readonly tls: boolean;
  /** How long a snapshot is CREATING, a restoration RESTORING, a deleted snapshot DELETING. */
  readonly snapshotMs: number;
  readonly restoreMs: number;
  readonly deleteMs: number;
}

/** A tablet server as a test and an agent need it. */
export interface TserverInfo {
  readonly uuid: string;
  /** `host:port` of its RPC, by which yb-admin names it. */
  readonly address: string;
  /** `http://host:9000` */
  readonly webAddress: string;
  readonly dataDirectories: readonly string[];
  readonly readReplica: boolean;
}

export interface UniverseInfo {
  readonly pid: number;
  readonly control: string;
  readonly masters: readonly string[];
  readonly masterWebAddresses: readonly string[];
  readonly tservers: readonly TserverInfo[];
  /** Holds `yb-admin` and `ysqlsh`: for `HOLDFAST_YB_BIN`. The dump programs are in `../postgres/bin`, as in an installation. */
  readonly binDirectory: string;
  /** A superuser's URL of the YSQL side, through the proxy that speaks YugabyteDB's dialect; database `yugabyte`. */
  readonly ysqlUrl: string;
  /**
   * The store behind YCQL: a PostgreSQL database whose schemas are the keyspaces. Tests fill and compare keyspaces here, by SQL.
   */
  readonly ycqlStoreUrl: string;
}

/** Which tablet: by id, else the first one of the table (`schema.table`), the database or keyspace, else of any user's table. */
export interface TabletChoice {
  readonly tablet?: string;
  readonly table?: string;
  readonly namespace?: string;
}

/** A tablet server by its index among `tservers`, or its UUID. */
export type ServerChoice = number | string;

/** What can be done to a universe, at once (`act`) or at a moment (`arm`). */
export type Action =
  /** A replica goes to another tablet server, which has none; its old folders are deleted. Left out: a follower, to any server. */
  | ({
      readonly do: 'moveReplica';
      readonly from?: ServerChoice;
      readonly to?: ServerChoice;
      /** Whether the remote bootstrap copies the snapshots' folders too (it normally does; failures: issue 26798). Default true. */
      readonly copySnapshots?: boolean;
    } & TabletChoice)
  | ({ readonly do: 'changeLeader' } & TabletChoice)
  /** No leader for so long. */
  | ({ readonly do: 'loseLeader'; readonly forMs: number } & TabletChoice)
  /** Two children take its place and its folders are deleted, snapshots included. Not while splitting is held, unless told to. */
  | ({ readonly do: 'splitTablet'; readonly evenIfHeld?: boolean } & TabletChoice)
  /** Its creation timed out: another id takes its place (issue 13030). */
  | ({ readonly do: 'replaceTablet' } & TabletChoice)
  /** e.g. DDL during a backup; `ycql_store` names the store behind YCQL. */
  | { readonly do: 'sql'; readonly database: string; readonly statement: string }
  /** The node is down, its agent aside: that is the test's. */
  | { readonly do: 'stopTserver'; readonly server: ServerChoice }
  /** Its disks were replaced: another tablet server, empty and with a UUID of its own, runs at its address. The masters remember both. */
  | { readonly do: 'recreateTserver'; readonly server: ServerChoice }
  /** The masters forget a tablet server that is dead (`yb-admin remove_tablet_server`). */
  | { readonly do: 'forgetTserver'; readonly server: ServerChoice }
  /** A table of DocDB that YSQL's catalogue doesn't know (issues 12816, 13275), with the tablets of a table. */
  | { readonly do: 'orphanTable'; readonly database: string; readonly name: string }
  /** The map of tablets (`/dump-entities`, and `list_tablets`) leaves out the tablets of a table, as if it had been dropped just now. */
  | { readonly do: 'hideTablets'; readonly table: string }
  /** YSQL answers of another universe's servers: the address of the plan leads elsewhere. */
  | { readonly do: 'ysqlOfAnother' }
  /** Since 2025.1 an import finds tables by what the dump keeps of them; of a dump without YugabyteDB's metadata it finds none, and says so by leaving them out. */
  | { readonly do: 'imports'; readonly find: 'all' | 'none' }
  /** It dies again at once if what killed it is still so. */
  | { readonly do: 'startTserver'; readonly server: ServerChoice }
  /**
   * The next imports of a YSQL database take so long that their caller is told that the RPC timed out; the master goes on, one table after another, and
   * re-partitions those that did not fit when it began, whatever was done to them since. No snapshot comes of it: yb-admin makes it afterwards
   * (issue 28965), and yb-admin has given up.
   */
  | { readonly do: 'slowImports'; readonly msPerTable: number; readonly times: number }
  | { readonly do: 'stopMaster'; readonly master: number | 'leader' | 'all' }
  | { readonly do: 'startMaster'; readonly master: number | 'all' }
  /** Another master leads. */
  | { readonly do: 'electMaster' }
  /** Every snapshot schedule takes its next snapshot now. */
  | { readonly do: 'takeScheduled' }
  | { readonly do: 'advanceClock'; readonly ms: number }
  /** Snapshots that are made from now on stay CREATING for ever, or become FAILED. */
  | { readonly do: 'snapshots'; readonly end: 'well' | 'never' | 'failed' }
  | { readonly do: 'restorations'; readonly end: 'well' | 'never' | 'failed' }
  | { readonly do: 'deletions'; readonly end: 'well' | 'never' }
  /** The next calls of an operation are refused. */
  | {
      readonly do: 'refuse';
      readonly operation: string;
      readonly as: 'leader not ready' | 'timed out' | 'network error' | 'internal error' | 'killed';
      readonly times: number;
    }
  /** The next calls of an operation are done, but their caller doesn't learn of it. `timed out`: it is told that the RPC timed out (issue 24809). */
  | {
      readonly do: 'loseAnswer';
      readonly operation: string;
      readonly times: number;
      readonly as?: 'lost' | 'timed out';
    }
  /** The next calls of an operation wait first. */
  | { readonly do: 'delay'; readonly operation: string; readonly ms: number; readonly times: number }
  /** The load balancer, while it is on, moves a replica this often; 0: never. */
  | { readonly do: 'balance'; readonly everyMs: number; readonly copySnapshots?: boolean }
  /** Tablets split by themselves this often, while splitting isn't held; 0: never. */
  | { readonly do: 'growTablets'; readonly everyMs: number }
  /** Somebody else deletes it, or its time is over; `all` that are complete. */
  | { readonly do: 'deleteSnapshot'; readonly snapshot: string }
  /** Removes a snapshot's folder of one replica (all snapshots of that replica when `snapshot` is left out). */
  | ({
      readonly do: 'removeSnapshotFolder';
      readonly server?: ServerChoice;
      readonly snapshot?: string;
    } & TabletChoice)
  /** Changes one byte of a data file in a snapshot's folder of one replica. */
  | ({ readonly do: 'damageFile'; readonly server?: ServerChoice; readonly snapshot?: string } & TabletChoice)
  /** Somebody reads the changes of a database or keyspace, or replicates it from here (`xcluster-source`) or to here. */
  | {
      readonly do: 'addNeighbour';
      readonly kind: 'change-data-stream' | 'xcluster-source' | 'xcluster-target';
      /** `ysql.shop` */
      readonly namespace: string;
      /** Of the replication group. */
      readonly name: string;
    }
  | { readonly do: 'removeNeighbours' }
  /** Files are encrypted from now on; the masters have the key in memory, or lost it by a restart. */
  | { readonly do: 'encrypt'; readonly key: string; readonly inMemory: boolean }
  | { readonly do: 'endEncryption' }
  /** `kill -9` of the whole universe, by itself. */
  | { readonly do: 'die' };

/** An action that waits for its moment: the `occurrence`-th (from 1) call of an operation, before or after it is done. */
export interface Trigger {
  /** Of yb-admin, e.g. `export_snapshot`, or `GET /dump-entities`, `GET /varz`. */
  readonly operation: string;
  readonly moment: 'before' | 'after';
  readonly occurrence?: number;
  readonly actions: readonly Action[];
}

/** What a test may look at. */
export interface UniverseView {
  readonly tservers: readonly { readonly uuid: string; readonly alive: boolean; readonly diedOf?: string }[];
  readonly snapshots: readonly {
    readonly id: string;
    readonly namespace: string;
    readonly state: string;
    readonly imported: boolean;
    readonly schedule?: string;
  }[];
  readonly restorations: readonly {
    readonly id: string;
    readonly snapshot: string;
    readonly state: string;
    readonly problem?: string;
  }[];
  readonly schedules: readonly { readonly id: string; readonly namespace: string }[];
  readonly tablets: readonly {
    readonly id: string;
    readonly tableId: string;
    readonly table: string;
    readonly namespace: string;
    readonly leader?: string;
    readonly replicas: readonly { readonly server: string; readonly role: string; readonly folder: string }[];
  }[];
  readonly loadBalancerEnabled: boolean;
  /** Until when (milliseconds since 1970, the universe's clock) tablet splitting is held; 0 when it isn't. */
  readonly splittingHeldUntil: number;
  /** How many calls of each operation there were. */
  readonly calls: Readonly<Record<string, number>>;
  readonly armed: number;
}
