import type { ObjectEntry } from './stored-object.ts';

/**
 * An object under `objects/`, named by its content and shared by every backup of the repository: one file, one part of a
 * large file, or a pack of many small ones. `key` is relative to the repository, not to a backup.
 */
export interface SharedObject extends ObjectEntry {
  readonly key: string;
}

/** Bytes of a file where they lie: a range of a shared object. */
interface FilePart {
  /** Index into the `objects` of the list that the file stands in. */
  readonly object: number;
  /** Bytes from the object's beginning. */
  readonly offset: number;
  readonly sizeBytes: number;
  /** Hex, of these bytes. */
  readonly sha256: string;
}

/** One file of a tablet's snapshot. */
export interface TabletFile {
  /** Within the tablet's snapshot directory, `/`-separated, e.g. `intents/000012.sst`. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Hex, of the whole file. */
  readonly sha256: string;
  /** In order; none for an empty file. */
  readonly parts: readonly FilePart[];
}

const MAX_PATH_PARTS = 8;

/** Whether a path can't lead out of its folder: no `..`, nothing absolute, no control characters. */
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

/** Tablets with the shared objects that their files lie in; a unit of bounded length. */
export interface TabletList {
  readonly objects: readonly SharedObject[];
  readonly tablets: readonly SavedTablet[];
}

/** A tablet of a snapshot and where it can be had. */
export interface TabletTarget {
  readonly tablet: string;
  readonly table: string;
  /** Of its database, in the universe. */
  readonly snapshot: string;
  /** `host:port` of the tablet servers that have a replica, the best to take it from first. */
  readonly nodes: readonly string[];
  readonly estimatedBytes: number;
}

/** UUID of a tablet server by its address. */
export type ServersByAddress = ReadonlyMap<string, string>;

/**
 * A bounded run of tablets, as a work list holds it and as it goes through history. Names that repeat are listed once, in `nodes` and
 * `tables`; tablets refer to them by their index.
 */
export interface TabletBatch {
  readonly nodes: readonly string[];
  /** UUIDs of the tablet servers at these addresses, in the same order; empty where the universe doesn't report one. Absent from an earlier version. */
  readonly servers?: readonly string[];
  readonly tables: readonly { readonly table: string; readonly snapshot: string }[];
  readonly tablets: readonly {
    readonly id: string;
    readonly table: number;
    readonly nodes: readonly number[];
    readonly bytes: number;
  }[];
}

/** At most this many tablets to a batch: about 60 KB of history. */
export const TABLETS_PER_BATCH = 1_000;

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

/** Throws `RangeError` for a batch whose numbers point nowhere. */
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

/** What a node is asked for: tablets of snapshots, by id. */
export interface TabletName {
  readonly tablet: string;
  readonly table: string;
  readonly snapshot: string;
}

/** What an agent returns into history after it has saved tablets. */
export interface SaveSummary {
  readonly saved: number;
  readonly files: number;
  /** Of all files of the saved tablets. */
  readonly bytes: number;
  /** Sent to the repository now; the rest was there already. */
  readonly sentBytes: number;
  readonly sentObjects: number;
  /** Tablets that this node can't give, with the reason; another replica may have them. */
  readonly left: readonly { readonly tablet: string; readonly reason: string }[];
}

/** A tablet of a restored snapshot, the saved tablet that fills it, and the list that describes that one. */
export interface TabletFill extends TabletName {
  /** The tablet of the backup. */
  readonly from: string;
  /** Index of the manifest's list that holds it. */
  readonly list: number;
}

/** What an agent returns into history after it has filled tablets. */
export interface FillSummary {
  readonly filled: number;
  readonly bytes: number;
  /** Fetched now; the rest was whole already. */
  readonly fetchedBytes: number;
  /** Not on this node (any more), with the reason. */
  readonly left: readonly { readonly tablet: string; readonly reason: string }[];
}

/** What an agent is asked to compare its node with before a restore. */
export interface NodeInspection {
  /** UUID of the tablet server at the agent's address, as the masters list it. */
  readonly server?: string;
  /** Some of the tablets that, by the universe's list, have a replica on this tablet server. */
  readonly tablets?: readonly Omit<TabletName, 'snapshot'>[];
}

/** An agent's report on its node before a restore. */
export interface NodeReport {
  readonly address: string;
  readonly directories: readonly { readonly path: string; readonly freeBytes: number }[];
  /** Reasons why the agent can't fill tablets here; empty when it can. */
  readonly problems: readonly string[];
  /** UUID of the tablet server that the directories belong to, where they hold one. */
  readonly server?: string;
  /** Tablets of the inspection that are not below the directories. */
  readonly missing?: readonly string[];
}

/** A bounded run of tablets to be filled, each on several nodes; numbers are places in `nodes` and `tables`. */
export interface FillBatch {
  readonly nodes: readonly string[];
  /** UUIDs of the tablet servers at these addresses, in the same order; absent from an earlier version. */
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

/** At most this many tablets to a fill batch: about 60 KB of history. */
export const TABLETS_PER_FILL = 500;
