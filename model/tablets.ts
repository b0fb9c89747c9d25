import type { ObjectEntry } from './stored-object.ts';

/**
 * An object under `objects/`, named by its content and shared by every backup of the repository: one file, one part of a
 * large file, or a pack of many small ones. `key` is relative to the repository, not to a backup.
 */
export interface SharedObject extends ObjectEntry {
  readonly key: string;
}

/** Where some bytes of a file lie: a range of a shared object. */
interface FilePart {
  /** Index into the `objects` of the list that contains the file. */
  readonly object: number;
  /** Bytes from the object's beginning. */
  readonly offset: number;
  readonly sizeBytes: number;
  /** Hex, of these bytes. */
  readonly sha256: string;
}

/** One file of a tablet's snapshot. */
export interface TabletFile {
  /** Path within the tablet's snapshot directory, separated by `/`, e.g. `intents/000012.sst`. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Hex, of the whole file. */
  readonly sha256: string;
  /** In order. Empty for an empty file. */
  readonly parts: readonly FilePart[];
}

const MAX_PATH_PARTS = 8;

/** Whether a path stays within its folder: no `..`, nothing absolute, no control characters. */
export function isTabletFilePath(path: string): boolean {
  const parts = path.split('/');
  const bad = (part: string) =>
    part === '' || part === '.' || part === '..' || part.length > 255 || /[\u0000-\u001f\u007f\\]/.test(part);
  return parts.length <= MAX_PATH_PARTS && !parts.some(bad);
}

/** A tablet as one of its replicas had it in the snapshot. */
export interface SavedTablet {
  readonly tablet: string;
  readonly table: string;
  /** The tablet server whose files these are, `host:port`. */
  readonly replica: string;
  readonly files: readonly TabletFile[];
}

/** Tablets with the shared objects that hold their files. Its length is bounded. */
export interface TabletList {
  readonly objects: readonly SharedObject[];
  readonly tablets: readonly SavedTablet[];
}

/** A tablet of a snapshot, and the nodes that have it. */
export interface TabletTarget {
  readonly tablet: string;
  readonly table: string;
  /** Id of its database's snapshot, in the universe. */
  readonly snapshot: string;
  /** `host:port` of the tablet servers that have a replica, the best source first. */
  readonly nodes: readonly string[];
  readonly estimatedBytes: number;
}

/** UUID of a tablet server by its address. */
export type ServersByAddress = ReadonlyMap<string, string>;

/**
 * A bounded number of tablets, as a work list holds them and history carries them. Names that repeat are listed once, in `nodes` and `tables`; tablets
 * refer to them by index.
 */
export interface TabletBatch {
  readonly nodes: readonly string[];
  /**
   * UUIDs of the tablet servers at these addresses, in the same order; empty text where the universe doesn't report one. Absent from an earlier
   * version.
   */
  readonly servers?: readonly string[];
  readonly tables: readonly { readonly table: string; readonly snapshot: string }[];
  readonly tablets: readonly {
    readonly id: string;
    readonly table: number;
    readonly nodes: readonly number[];
    readonly bytes: number;
  }[];
}

/** Most tablets in a batch: about 60 KB of history. */
export const TABLETS_PER_BATCH = 1_000;

/** Makes a batch of tablets, with each repeated name only once. @param servers UUIDs of tablet servers, as far as they are known */
export function packBatch(
  targets: readonly TabletTarget[],
  servers: ServersByAddress = new Map(),
): TabletBatch {
  const nodes = new Map<string, number>();
  const tables = new Map<
    string,
    { readonly place: number; readonly table: string; readonly snapshot: string }
  >();
  const placeOfNode = (node: string): number => {
    const known = nodes.get(node) ?? nodes.size;
    nodes.set(node, known);
    return known;
  };
  const placeOfTable = (table: string, snapshot: string): number => {
    const key = `${table} ${snapshot}`;
    const known = tables.get(key) ?? { place: tables.size, table, snapshot };
    tables.set(key, known);
    return known.place;
  };
  const tablets = targets.map((target) => ({
    id: target.tablet,
    table: placeOfTable(target.table, target.snapshot),
    nodes: target.nodes.map(placeOfNode),
    bytes: target.estimatedBytes,
  }));
  return {
    nodes: [...nodes.keys()],
    ...(servers.size === 0 ? {} : { servers: [...nodes.keys()].map((node) => servers.get(node) ?? '') }),
    tables: [...tables.values()].map(({ table, snapshot }) => ({ table, snapshot })),
    tablets,
  };
}

/** The tablets of a batch. Throws `RangeError` if an index in it points nowhere. */
export function unpackBatch({ nodes, tables, tablets }: TabletBatch): readonly TabletTarget[] {
  return tablets.map(({ id, table, nodes: places, bytes }) => {
    const entry = tables[table];
    if (entry === undefined) throw new RangeError(`tablet ${id} is of no table of its batch`);
    return {
      tablet: id,
      ...entry,
      nodes: places.map((place) => nodes[place] ?? noNode(id)),
      estimatedBytes: bytes,
    };
  });
}

function noNode(tablet: string): never {
  throw new RangeError(`tablet ${tablet} is on no node of its batch`);
}

/** A tablet that a node is asked for, with its snapshot. */
export interface TabletName {
  readonly tablet: string;
  readonly table: string;
  readonly snapshot: string;
}

/** What an agent returns into history after it has saved tablets. */
export interface SaveSummary {
  readonly saved: number;
  readonly files: number;
  /** Bytes of all files of the saved tablets. */
  readonly bytes: number;
  /** Bytes sent to the repository now. The repository already had the rest. */
  readonly sentBytes: number;
  readonly sentObjects: number;
  /** Tablets that this node can't give, each with the reason. Another replica may have them. */
  readonly left: readonly { readonly tablet: string; readonly reason: string }[];
}

/** A tablet of a restored snapshot, the saved tablet that fills it, and the list that describes the saved one. */
export interface TabletFill extends TabletName {
  /** The tablet of the backup. */
  readonly from: string;
  /** Index of the manifest's list that holds the saved tablet. */
  readonly list: number;
}

/** What an agent returns into history after it has filled tablets. */
export interface FillSummary {
  readonly filled: number;
  readonly bytes: number;
  /** Bytes fetched now. The node already had the rest. */
  readonly fetchedBytes: number;
  /** Tablets that are not on this node (any more), each with the reason. */
  readonly left: readonly { readonly tablet: string; readonly reason: string }[];
}

/** What an agent compares with its node before a restore. */
export interface NodeInspection {
  /** UUID of the tablet server at the agent's address, as the masters list it. */
  readonly server?: string;
  /** Some of the tablets that, as the universe lists them, have a replica on this tablet server. */
  readonly tablets?: readonly Omit<TabletName, 'snapshot'>[];
}

/** An agent's report on its node before a restore. */
export interface NodeReport {
  readonly address: string;
  readonly directories: readonly { readonly path: string; readonly freeBytes: number }[];
  /** Why the agent can't fill tablets here. Empty: it can. */
  readonly problems: readonly string[];
  /** UUID of the tablet server that owns the directories, if they hold one. */
  readonly server?: string;
  /** Tablets of the inspection that are missing in the directories. */
  readonly missing?: readonly string[];
}

/** A bounded number of tablets to fill, each on several nodes. Numbers are indexes into `nodes` and `tables`. */
export interface FillBatch {
  readonly nodes: readonly string[];
  /** UUIDs of the tablet servers at these addresses, in the same order. Absent from an earlier version. */
  readonly servers?: readonly string[];
  readonly tables: readonly { readonly table: string; readonly snapshot: string }[];
  readonly tablets: readonly {
    readonly id: string;
    readonly from: string;
    readonly list: number;
    readonly table: number;
    readonly nodes: readonly number[];
  }[];
}

/** Most tablets in a fill batch: about 60 KB of history. */
export const TABLETS_PER_FILL = 500;
