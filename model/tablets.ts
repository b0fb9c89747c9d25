import type { ObjectEntry } from './backup.ts';

/**
 * An object under `objects/`, named by its content and shared by every backup of the repository: one file, one part of a
 * large file, or a pack of many small ones. `key` is relative to the repository, not to a backup.
 */
export interface SharedObject extends ObjectEntry {
  readonly key: string;
}

/** Bytes of a file where they lie: a range of a shared object. */
export interface FilePart {
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
