/** A stored object. `key` is relative to the backup's folder; that of a shared object (`objects/…`) to the repository. */
export interface ObjectEntry {
  readonly key: string;
  readonly sizeBytes: number;
  /** Hex, of the stored bytes. */
  readonly sha256: string;
}
