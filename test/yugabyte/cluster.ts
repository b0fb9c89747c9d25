/** A YugabyteDB of three nodes, as the matrix drives it: real ones in containers, or the stand-ins that Holdfast is tested on. */
export interface Cluster {
  /** `stand-in` is no news of YugabyteDB: what it says, Holdfast's own tests have put there. */
  readonly kind: 'docker' | 'stand-in';
  /** What runs, for people: an image, or a profile. */
  readonly what: string;
  /** `host:port` of each master's RPC. */
  readonly masters: readonly string[];
  readonly masterWebAddresses: readonly string[];
  /** A superuser's URL of the first node. */
  ysql(database: string): string;
  /** The same of the other nodes; of a stand-in none. */
  readonly otherNodes: readonly string[];
  /** `host:port/datacenter` of YCQL; undefined where the stand-in has none. */
  readonly ycql: string | undefined;
  /** What a process needs to find the programs of this version. */
  readonly environment: Readonly<Record<string, string>>;
  /** Full path of a program of this version. */
  program(name: ProgramName): string;
  /** As `docker kill`: no word to anybody. Tablet servers count from 0; the first one is what everybody is connected to. */
  killTserver(index: number): Promise<void>;
  startTserver(index: number): Promise<void>;
  /** Starts Holdfast's agent beside a tablet server, where it sees that one's disks, and waits until it polls. */
  startAgent(index: number, environment: Readonly<Record<string, string>>): Promise<Killable>;
  /** How long a snapshot lives that is given no retention, and a wait that is longer; undefined where nobody is to wait so long. */
  readonly expiry: { readonly hours: number; pass(): Promise<void> } | undefined;
  /** Removes the cluster, whatever state it is in. */
  stop(): Promise<void>;
}

/** A process that can be killed and started again. */
export interface Killable {
  /** No word to anybody. */
  kill9(): Promise<void>;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export type ProgramName = 'yb-admin' | 'ysql_dump' | 'ysql_dumpall' | 'ysqlsh';

/** Where a real installation has each program. */
export const PROGRAM_FOLDERS: Readonly<Record<ProgramName, string>> = {
  'yb-admin': 'bin',
  ysqlsh: 'bin',
  ysql_dump: 'postgres/bin',
  ysql_dumpall: 'postgres/bin',
};
