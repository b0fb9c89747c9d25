/** What a plan names: the database that is backed up, the repository that holds its backups, and when something starts. */

/** A plan only names a secret. The worker that needs the secret resolves it. */
export type SecretRef = { readonly env: string } | { readonly file: string };

export type EngineName = 'ysql' | 'ycql' | 'universe';

/** Glob patterns over `schema.table` (`*` and `?`). What is excluded wins over what is included. Empty `include` means all. */
export interface NamePatterns {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

/** Which part of each database a backup carries. */
export type Contents = 'all' | 'schema' | 'data';

/** A database of PostgreSQL, or of YugabyteDB by its SQL port. */
export interface YsqlSource {
  readonly engine: 'ysql';
  /** A `postgresql://` URL. The backup is of its database unless `databases` says otherwise. */
  readonly connection: SecretRef;
  /** Patterns over database names. Absent: the connection's own database. */
  readonly databases?: NamePatterns;
  readonly tables: NamePatterns;
  readonly contents: Contents;
  /** Roles and tablespaces: `none`, all `roles` without passwords, or `roles-with-passwords`. */
  readonly globals: 'none' | 'roles' | 'roles-with-passwords';
  /** Present: PostgreSQL's program dumps the schema of a YugabyteDB. Absent: the server's own program does. */
  readonly dumpProgram?: 'pg_dump';
  /** How rows are read and stored. Absent: in COPY's binary format where that is exact, else as text. */
  readonly format?: 'text' | 'binary';
  /** Target size of a chunk, bytes of COPY text. Default 64 MiB. */
  readonly chunkBytes: number;
}

/** A YugabyteDB universe, backed up by distributed snapshots: with `yb-admin`, and with agents beside the tablet servers. */
export interface UniverseSource {
  readonly engine: 'universe';
  /** `host:port` of the masters' RPC, usually port 7100. */
  readonly masters: readonly string[];
  /** Port of the masters' web servers. */
  readonly masterWebPort: number;
  /** Directory on the worker that holds the universe's certificates, where the universe encrypts between nodes. */
  readonly tls?: { readonly certsDir: SecretRef };
  /** `postgresql://` URL for `ysql_dump` and restores. Absent: a tablet server's address and port 5433. */
  readonly ysql?: { readonly connection: SecretRef };
  /** YSQL databases, by name. */
  readonly databases: readonly string[];
  /** YCQL keyspaces, by name. */
  readonly keyspaces: readonly string[];
  readonly globals: 'none' | 'roles' | 'roles-with-passwords';
  /** After this time the universe deletes a snapshot by itself, should nobody be left to delete it. */
  readonly snapshotRetentionMs: number;
  /** True: rows of YSQL tables are counted at the snapshot's time, to compare them after a restore. */
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
  /** What one node may send or fetch, in bytes per second. Absent: no limit. */
  readonly bytesPerSecondPerNode?: number;
  /** The same for all nodes together. Each node gets an equal share. */
  readonly bytesPerSecond?: number;
}

/** How long the universe is waited for before an operation counts as failed. */
interface UniversePatience {
  /** An agent that takes no work for this long is passed over. */
  readonly agentMs: number;
  /** A snapshot that takes longer has failed. */
  readonly snapshotMs: number;
  /** A restoration that takes longer is stuck. */
  readonly restorationMs: number;
}

/** How many nodes must answer a request, in CQL's words. */
export type CqlConsistency = 'ONE' | 'LOCAL_ONE' | 'QUORUM' | 'LOCAL_QUORUM' | 'ALL';

/** Keyspaces of Cassandra, or of YugabyteDB by its CQL port. */
export interface YcqlSource {
  readonly engine: 'ycql';
  /** A `cql://` URL of another cluster, in place of the next members: for a restore to elsewhere. No plan has it. */
  readonly connection?: SecretRef;
  /** Host names or addresses of some nodes. The driver learns the others from them. */
  readonly contactPoints: readonly string[];
  readonly port: number;
  /** Absent: the data center of the first contact point that answers. */
  readonly localDataCenter?: string;
  readonly credentials?: { readonly username: SecretRef; readonly password: SecretRef };
  readonly tls?: TlsOptions;
  /** Patterns over keyspaces. The server's own keyspaces are never read. */
  readonly keyspaces: NamePatterns;
  /** Patterns over `keyspace.table`. */
  readonly tables: NamePatterns;
  readonly contents: Contents;
  readonly globals: 'none' | 'roles' | 'roles-with-passwords';
  /** Stands in the plan so that nobody takes a scan for one instant. */
  readonly consistency: 'scan';
  readonly consistencyLevel: CqlConsistency;
  /**
   * Whether the write time of each cell is kept: `auto`: wherever the server gives it and takes it back cheaply (on YugabyteDB it
   * is kept and not written back), `always`: wherever that is possible, or `none`.
   */
  readonly writeTimes: 'auto' | 'always' | 'none';
  /** Bounds on what one worker asks of the database. */
  readonly load: {
    /** Absent: no limit. */
    readonly rowsPerSecond?: number;
    /** Most pages that one node reads at a time. */
    readonly inFlightPerNode: number;
    /** Most batches that one node writes at a time. Pipelines of version 0.1.0 lack it. */
    readonly writesInFlightPerNode?: number;
    /** Most rows in an answer. Halved where the server can't answer in time. */
    readonly pageRows: number;
  };
  /** Target size of a chunk, bytes of rows as CQL sends them. Default 32 MiB. */
  readonly chunkBytes: number;
}

interface TlsOptions {
  /** File on the worker with the authority's certificates. Absent: the system's are used. */
  readonly caFile?: string;
  /** Certificate and key of the client, if the server asks for them. */
  readonly certificate?: { readonly certificateFile: string; readonly key: SecretRef };
  readonly serverName?: string;
  /** False: any certificate is accepted. */
  readonly verify: boolean;
}

/** A source whose tables are read and written row by row. */
export type LogicalSource = YsqlSource | YcqlSource;

export type Source = LogicalSource | UniverseSource;

/** A bucket, and a prefix in it. */
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
  /** Absent: the AWS SDK's own credential chain is used. */
  readonly credentials?: S3Credentials;
  /** Credentials for retention, so that `credentials` need no right to delete. Absent: retention uses `credentials` too. */
  readonly pruneCredentials?: S3Credentials;
  /** How long every object of a backup is locked, counted from when it is written. */
  readonly objectLock?: { readonly mode: 'GOVERNANCE' | 'COMPLIANCE'; readonly days: number };
}

/** References to an access key for S3. */
export interface S3Credentials {
  readonly accessKeyId: SecretRef;
  readonly secretAccessKey: SecretRef;
  readonly sessionToken?: SecretRef;
}

/** A bucket of Google Cloud Storage, and a prefix in it. */
export interface GcsLocation {
  readonly kind: 'gcs';
  readonly bucket: string;
  readonly prefix: string;
  /** Absent: Google's own. One of `http:` is an emulator's, to which no credentials are sent. */
  readonly endpoint?: string;
  readonly storageClass?: 'STANDARD' | 'NEARLINE' | 'COLDLINE' | 'ARCHIVE';
  /** The JSON of a key, or of a workload identity. Absent: Google's own chain is used. */
  readonly credentials?: SecretRef;
}

/** A container of Azure Blob Storage, and a prefix in it. */
export interface AzureLocation {
  readonly kind: 'azure';
  readonly account: string;
  readonly container: string;
  readonly prefix: string;
  /** The account's blob service. Absent: `https://ACCOUNT.blob.core.windows.net`. */
  readonly endpoint?: string;
  readonly accessTier?: 'Hot' | 'Cool' | 'Cold';
  /** Absent: Microsoft's own chain of identities is used. */
  readonly credentials?: AzureCredentials;
  /** Credentials for retention, so that `credentials` need no right to delete. Absent: retention uses `credentials` too. */
  readonly pruneCredentials?: AzureCredentials;
}

/** A reference to the key of a storage account, or to a shared access signature. */
export type AzureCredentials = { readonly accountKey: SecretRef } | { readonly sasToken: SecretRef };

interface DirectoryLocation {
  readonly kind: 'directory';
  readonly path: string;
  /** What the group may do with folders and files that Holdfast makes. Absent: nothing. */
  readonly groupAccess?: 'read' | 'write';
}

/** Who may read an encrypted repository, and by what key a worker opens it; see docs/encryption.md. */
export interface EncryptionSpec {
  /** X25519 recipients of age (`age1…`): the people who may restore. */
  readonly recipients: readonly string[];
  /** Opens the data. A worker that only makes backups doesn't need it. */
  readonly identity?: SecretRef;
  /** Opens only the metadata: manifests, lists and names. Absent: `identity` opens these too. */
  readonly metadataIdentity?: SecretRef;
}

/** Who signs what is written into a repository, and whose signatures count; see docs/signing.md. */
export interface SigningSpec {
  /** Key file of OpenSSH. A worker that only restores doesn't need it. */
  readonly key?: SecretRef;
  /** Public keys (`ssh-ed25519 …`). What no such key signed is not restored, drilled or found good. */
  readonly trusted: readonly string[];
}

/** Who may have a backup deleted before its time; see docs/retention.md. */
export interface DeletionSpec {
  /** Public keys (`ssh-ed25519 …`) of people. Any of them may ask for a deletion. */
  readonly approvers: readonly string[];
  /** How many other approvers must agree. */
  readonly approvals: number;
  /** The most backups that retention marks by itself in one prune. Absent: it marks whatever no rule keeps. */
  readonly atOnce?: number;
}

/** A repository as a plan describes it. */
export interface RepositorySpec {
  readonly name: string;
  readonly location: S3Location | GcsLocation | AzureLocation | DirectoryLocation;
  /** Absent: the repository isn't encrypted. */
  readonly encryption?: EncryptionSpec;
  /** Absent: nothing is signed, and no signature is required. */
  readonly signing?: SigningSpec;
  /** Absent: no backup is deleted before its time. */
  readonly deletion?: DeletionSpec;
  /** True: rows that the repository has already are not stored again; see docs/repository-format.md, Shared rows. */
  readonly shareRows?: boolean;
}

/** When a plan, or its drill, starts by itself. */
export interface Schedule {
  readonly cron: readonly string[];
  readonly timezone: string;
  readonly overlap: 'skip' | 'buffer' | 'cancel' | 'allow';
}
