/** What a plan names: the database that is backed up, the repository that holds its backups, and when something starts. */

/** A secret is only ever named; the worker that needs it resolves it. */
export type SecretRef = { readonly env: string } | { readonly file: string };

export type EngineName = 'ysql' | 'ycql' | 'universe';

/** Glob patterns over `schema.table` (`*` and `?`); excluded wins over included. Empty `include` means all. */
export interface NamePatterns {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

/** What part of each database a backup carries. */
export type Contents = 'all' | 'schema' | 'data';

export interface YsqlSource {
  readonly engine: 'ysql';
  /** A `postgresql://` URL. Its database is the one backed up unless `databases` says otherwise. */
  readonly connection: SecretRef;
  /** Patterns over database names; absent means the connection's own database. */
  readonly databases?: NamePatterns;
  readonly tables: NamePatterns;
  readonly contents: Contents;
  /** Roles and tablespaces: `none`, all `roles` without passwords, or `roles-with-passwords`. */
  readonly globals: 'none' | 'roles' | 'roles-with-passwords';
  /** A YugabyteDB's schema is dumped by PostgreSQL's program; absent, by the server's own. */
  readonly dumpProgram?: 'pg_dump';
  /** How rows are read and stored; absent: in COPY's binary format where it is exact, else as text. */
  readonly format?: 'text' | 'binary';
  /** Target size of a chunk, bytes of COPY text. Default 64 MiB. */
  readonly chunkBytes: number;
}

/** A YugabyteDB universe, read by distributed snapshot: `yb-admin` and the agents beside the tablet servers. */
export interface UniverseSource {
  readonly engine: 'universe';
  /** `host:port` of the masters' RPC, usually port 7100. */
  readonly masters: readonly string[];
  /** Port of the masters' web servers. */
  readonly masterWebPort: number;
  /** Directory with the universe's certificates on the worker, where it encrypts between nodes. */
  readonly tls?: { readonly certsDir: SecretRef };
  /** `postgresql://` URL for `ysql_dump` and restores; absent, a tablet server's address and port 5433. */
  readonly ysql?: { readonly connection: SecretRef };
  /** YSQL databases, by name. */
  readonly databases: readonly string[];
  /** YCQL keyspaces, by name. */
  readonly keyspaces: readonly string[];
  readonly globals: 'none' | 'roles' | 'roles-with-passwords';
  /** How long the universe keeps a snapshot should nobody be left to delete it. */
  readonly snapshotRetentionMs: number;
  /** Rows of YSQL tables are counted at the snapshot's time, for the comparison after a restore. */
  readonly countRows: boolean;
  readonly limits: UniverseLimits;
  readonly patience: UniversePatience;
}

/** What agents may take from the nodes. */
export interface UniverseLimits {
  /** Tasks at once on one node. */
  readonly tasksPerNode: number;
  /** Files read or written at once on one disk. */
  readonly filesPerDisk: number;
  /** What one node may send or fetch, in bytes per second; absent, without limit. */
  readonly bytesPerSecondPerNode?: number;
  /** The same for all nodes together, each of which gets an equal share. */
  readonly bytesPerSecond?: number;
}

/** How long the universe is waited for before it counts as not coming. */
interface UniversePatience {
  /** An agent that takes no work for so long is passed over. */
  readonly agentMs: number;
  /** A snapshot that is not complete by then has failed. */
  readonly snapshotMs: number;
  /** A restoration that has not ended by then is stuck. */
  readonly restorationMs: number;
}

/** How many nodes must answer a request, in CQL's words. */
export type CqlConsistency = 'ONE' | 'LOCAL_ONE' | 'QUORUM' | 'LOCAL_QUORUM' | 'ALL';

export interface YcqlSource {
  readonly engine: 'ycql';
  /** Another cluster than the one that the next members name, as a `cql://` URL: a restore to elsewhere. No plan says it. */
  readonly connection?: SecretRef;
  /** Host names or addresses of some nodes; the others are learnt from them. */
  readonly contactPoints: readonly string[];
  readonly port: number;
  /** Absent: that of the first contact point that answers. */
  readonly localDataCenter?: string;
  readonly credentials?: { readonly username: SecretRef; readonly password: SecretRef };
  readonly tls?: TlsOptions;
  /** Patterns over keyspaces; the server's own are never read. */
  readonly keyspaces: NamePatterns;
  /** Patterns over `keyspace.table`. */
  readonly tables: NamePatterns;
  readonly contents: Contents;
  readonly globals: 'none' | 'roles' | 'roles-with-passwords';
  /** Said in the plan, so that nobody takes a scan for one instant. */
  readonly consistency: 'scan';
  readonly consistencyLevel: CqlConsistency;
  /**
   * Time of writing of each cell: wherever the server gives it and takes it back cheaply (`auto`: on YugabyteDB it is kept and
   * not written back), wherever it can be (`always`), or not at all.
   */
  readonly writeTimes: 'auto' | 'always' | 'none';
  /** Bounds on what one worker asks of the database. */
  readonly load: {
    /** Absent: no bound. */
    readonly rowsPerSecond?: number;
    /** Pages that one node reads at a time. */
    readonly inFlightPerNode: number;
    /** Batches that one node writes at a time; pipelines of version 0.1.0 don't say. */
    readonly writesInFlightPerNode?: number;
    /** Most rows in an answer; halved where the server can't answer in time. */
    readonly pageRows: number;
  };
  /** Target size of a chunk, bytes of rows as CQL sends them. Default 32 MiB. */
  readonly chunkBytes: number;
}

interface TlsOptions {
  /** File on the worker with the authority's certificates; absent, the system's. */
  readonly caFile?: string;
  /** Certificate and key of the client, where the server asks for them. */
  readonly certificate?: { readonly certificateFile: string; readonly key: SecretRef };
  readonly serverName?: string;
  /** False: any certificate is taken. */
  readonly verify: boolean;
}

/** A source whose tables are read and written row by row. */
export type LogicalSource = YsqlSource | YcqlSource;

export type Source = LogicalSource | UniverseSource;

export interface S3Location {
  readonly kind: 's3';
  readonly bucket: string;
  readonly prefix: string;
  readonly region?: string;
  readonly endpoint?: string;
  readonly forcePathStyle?: boolean;
  readonly storageClass?: string;
  readonly serverSideEncryption?: 'AES256' | 'aws:kms';
  readonly kmsKeyId?: string;
  /** Absent: the AWS SDK's own credential chain. */
  readonly credentials?: S3Credentials;
  /** With which retention deletes, so that `credentials` need no right to. Absent: the same. */
  readonly pruneCredentials?: S3Credentials;
  /** Every object of a backup is locked for so long from when it is written. */
  readonly objectLock?: { readonly mode: 'GOVERNANCE' | 'COMPLIANCE'; readonly days: number };
}

export interface S3Credentials {
  readonly accessKeyId: SecretRef;
  readonly secretAccessKey: SecretRef;
  readonly sessionToken?: SecretRef;
}

interface DirectoryLocation {
  readonly kind: 'directory';
  readonly path: string;
  /** What the group may do with folders and files that are made. Absent: nothing. */
  readonly groupAccess?: 'read' | 'write';
}

/** Who may read an encrypted repository, and with what a worker opens it; see docs/encryption.md. */
export interface EncryptionSpec {
  /** X25519 recipients of age (`age1…`): whoever may restore. */
  readonly recipients: readonly string[];
  /** Opens the data. A worker that only makes backups does without it. */
  readonly identity?: SecretRef;
  /** Opens the metadata alone: manifests, lists and names. Absent: `identity` does that too. */
  readonly metadataIdentity?: SecretRef;
}

/** Who signs what is written into a repository, and whose signatures count; see docs/signing.md. */
export interface SigningSpec {
  /** Key file of OpenSSH. A worker that only restores does without it. */
  readonly key?: SecretRef;
  /** Public keys (`ssh-ed25519 …`): nothing else is restored, drilled or found good. */
  readonly trusted: readonly string[];
}

/** Who may have a backup deleted before its time; see docs/retention.md. */
export interface DeletionSpec {
  /** Public keys (`ssh-ed25519 …`) of people: one of them asks. */
  readonly approvers: readonly string[];
  /** How many of the others must approve. */
  readonly approvals: number;
}

export interface RepositorySpec {
  readonly name: string;
  readonly location: S3Location | DirectoryLocation;
  /** Absent: the repository is clear. */
  readonly encryption?: EncryptionSpec;
  /** Absent: nothing is signed, and no signature is asked for. */
  readonly signing?: SigningSpec;
  /** Absent: no backup is deleted before its time. */
  readonly deletion?: DeletionSpec;
}

/** When a plan, or its drill, starts by itself. */
export interface Schedule {
  readonly cron: readonly string[];
  readonly timezone: string;
  readonly overlap: 'skip' | 'buffer' | 'cancel' | 'allow';
}
