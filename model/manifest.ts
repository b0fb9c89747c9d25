import { formatAmount } from './amounts.ts';
import type { DataObject, ObjectEntry, ReadPoint, TimeInterval } from './backup.ts';
import type { EngineName } from './source.ts';

/** One table of a backup as the manifest describes it. */
export interface ManifestTable {
  readonly schema: string;
  readonly table: string;
  readonly rows: number;
  /**
   * What `rows` means where nobody counted: an estimate of the server's statistics, or 0 because there is none. Absent: a count. In a backup of a
   * universe that is older than this field, a 0 may be either.
   */
  readonly rowsAre?: 'estimated' | 'unknown';
  /** Present where the rows were not counted and there was at least one at the read point. Absent where nobody looked or could look. */
  readonly holdsRows?: true;
  readonly bytes: number;
  readonly objects: number;
  /** What of this table the backup could not carry, in words. */
  readonly losses?: readonly string[];
  /** Why a table larger than a chunk, or a large part of it, was read as one chunk, in words. A crash meanwhile costs that whole chunk. */
  readonly uncut?: string;
  /** YCQL: number of rows whose every cell expires. */
  readonly expiring?: number;
  /** YCQL: number of rows that are nothing but their key, in a table with other columns. */
  readonly bare?: number;
  /** What of the table could not be read, in words: the backup lacks it. */
  readonly unread?: readonly string[];
}

/** A database, or in YCQL a keyspace. A keyspace has no owner and no locale, so these are empty; its encoding is UTF8. */
export interface ManifestDatabase {
  readonly name: string;
  readonly owner: string;
  readonly encoding: string;
  readonly collate: string;
  readonly ctype: string;
  /**
   * SQL scripts, `schema/e<epoch>/<n>/{database,pre-data,post-data,sequences}-<hash>.sql`, or for a keyspace `schema-<hash>.{cql,json}`. Keys are
   * relative to the backup.
   */
  readonly schemaObjects: readonly ObjectEntry[];
  readonly tables: readonly ManifestTable[];
  /** Objects of the database that the backup doesn't carry, in words. */
  readonly losses?: readonly string[];
  /** Indexes (`schema.index`) that call functions which aren't built in, where the schema's text doesn't show it. Absent in older backups. */
  readonly hiddenCalls?: readonly string[];
}

export type Product = 'postgresql' | 'yugabytedb' | 'cassandra';

/**
 * The manifest. A backup exists if and only if its manifest exists. It is written last, once, by a conditional put. Large lists are objects of their own
 * (`lists/…`), which the manifest names with size and SHA-256.
 */
export interface Manifest {
  /**
   * 2 where there are packs: a program that takes each key for one data object must refuse the backup by its version. 3 where rows lie in shared
   * objects: a program that looks for them in the backup's folder, or sweeps what it thinks is unneeded, must refuse it.
   */
  readonly formatVersion: 1 | 2 | 3;
  readonly plan: string;
  readonly backup: string;
  readonly engine: EngineName;
  readonly pipelineHash: string;
  readonly writtenBy: { readonly holdfast: string; readonly host: string };
  readonly startedAt: string;
  readonly completedAt: string;
  readonly server: { readonly product: Product; readonly version: string };
  readonly readPoint: ReadPoint;
  /** When the first and the last row were read, where the read point is no instant. */
  readonly scanned?: TimeInterval;
  readonly contents: 'all' | 'schema' | 'data';
  readonly databases: readonly ManifestDatabase[];
  /** Objects that belong to no database: globals.sql, RESTORE.md. */
  readonly commonObjects: readonly ObjectEntry[];
  readonly totals: {
    readonly rows: number;
    readonly bytes: number;
    readonly storedBytes: number;
    readonly objects: number;
    readonly tables: number;
  };
  /** Data objects, in the order in which a restore should load them (large tables first). */
  readonly data:
    | { readonly inline: readonly DataObject[] }
    | { readonly lists: readonly ObjectEntry[]; readonly count: number };
  /**
   * The packs: objects that hold several data objects each, one after another without a gap. A shared pack (`objects/…`) may hold others besides. Absent:
   * there are none.
   */
  readonly packs?: readonly ObjectEntry[];
  /** Stored bytes of table data that this backup put, since the repository lacked them. Absent: nothing is shared, so all is new. */
  readonly newBytes?: number;
  /** Where the plan locks objects: until when everything that the backup needs was locked at least, when it was made, and how many locks that took. */
  readonly locks?: { readonly until: string; readonly asked: number; readonly extended: number };
  /** Where the repository is signed: number of the newest register of the plan's backups that the writer knew. 0: there was none. */
  readonly register?: number;
  /** Where the repository is signed: the last backup in that register, with the SHA-256 of its stored manifest. */
  readonly predecessor?: { readonly backup: string; readonly sha256: string };
  /** Engine `universe`: lists of the tablets, whose files lie in shared objects. */
  readonly tablets?: ManifestTablets;
  /** Engine `universe`: what a restore passes to `yb-admin`. */
  readonly universe?: ManifestUniverse;
}

/** A universe's tablets in a backup. */
export interface ManifestTablets {
  /** Objects that hold `TabletList`s. */
  readonly lists: readonly ObjectEntry[];
  /** Number of tablets in all lists together. */
  readonly count: number;
  readonly files: number;
}

/** What a restore needs to know of the universe that was backed up. */
export interface ManifestUniverse {
  /** The universe's UUID, if it reports one. */
  readonly clusterUuid?: string;
  readonly snapshots: readonly ManifestSnapshot[];
  /** Present where the universe encrypts at rest: the universe's name for the key that the files need. */
  readonly encryption?: string;
}

/** One database or keyspace of a universe and its snapshot. */
export interface ManifestSnapshot {
  readonly database: string;
  readonly api: 'ysql' | 'ycql';
  /** Absent where the database was empty: the backup then has nothing but its schema. */
  readonly snapshot?: string;
  /** Key of what `export_snapshot` wrote; it is one of the database's schema objects. */
  readonly metadata?: string;
  /** The universe's hybrid time of the snapshot, ISO 8601, where it reports one. */
  readonly takenAt?: string;
  readonly catalogVersion?: string;
  readonly tables: readonly SnapshotTable[];
}

/** A table or index as the universe knows it. */
export interface SnapshotTable {
  readonly id: string;
  /** Empty for YCQL. */
  readonly schema: string;
  readonly name: string;
  readonly index: boolean;
  /** Present where no dump has this table, so an import leaves it out; the database's losses say why. */
  readonly skipped?: true;
}

/** The instant by which everything in the backup had been written, by the source's clock. */
export function instantOf({ readPoint, scanned }: Pick<Manifest, 'readPoint' | 'scanned'>): string {
  return scanned?.to ?? readPoint.takenAt;
}

/** What the backup doesn't carry although the source has it, each with its table or keyspace. */
export function lossesIn({ databases }: Pick<Manifest, 'databases'>): readonly string[] {
  return databases.flatMap(({ name, losses = [], tables }) => [
    ...losses.map((loss) => `${name}: ${loss}`),
    ...tables.flatMap(({ schema, table, losses: own = [], expiring = 0, bare = 0 }) =>
      [...own, ...endOfRows(expiring), ...bareRows(bare)].map((loss) => `${schema}.${table}: ${loss}`),
    ),
  ]);
}

/** Tables that were read in one piece, each with the reason. */
export function uncutIn({ databases }: Pick<Manifest, 'databases'>): readonly string[] {
  return databases.flatMap(({ tables }) =>
    tables.flatMap(({ schema, table, uncut }) =>
      uncut === undefined ? [] : [`${schema}.${table}: ${uncut}`],
    ),
  );
}

function endOfRows(expiring: number): readonly string[] {
  if (expiring === 0) return [];
  return [
    `whether ${formatAmount(expiring, 'row')}, all of whose cells expire, stay as bare keys when they have: no server tells it, so a restored row goes with the last of its cells`,
  ];
}

function bareRows(bare: number): readonly string[] {
  if (bare === 0) return [];
  return [
    `time of writing and expiry of ${formatAmount(bare, 'row')} that ${bare === 1 ? 'is' : 'are'} nothing but a key: no server tells them, so what was written with a time to live comes back without one`,
  ];
}

/** What could not be read, each with its table. The backup is not whole. */
export function unreadIn({ databases }: Pick<Manifest, 'databases'>): readonly string[] {
  return databases.flatMap(({ tables }) =>
    tables.flatMap(({ schema, table, unread = [] }) => unread.map((what) => `${schema}.${table}: ${what}`)),
  );
}
