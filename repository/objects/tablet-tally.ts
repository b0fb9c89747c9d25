import type { ManifestDatabase, ManifestSnapshot } from '../../model/manifest.ts';
import type { TabletList } from '../../model/tablets.ts';

/** Counts tablets one by one, by table and in total. */
export class TabletTally {
  readonly #tables = new Map<string, { bytes: number; files: number }>();
  #tablets = 0;
  #files = 0;
  #bytes = 0;

  add({ tablets }: TabletList): void {
    for (const { table, files } of tablets) {
      const counts = this.#tables.get(table) ?? { bytes: 0, files: 0 };
      for (const { sizeBytes } of files) counts.bytes += sizeBytes;
      counts.files += files.length;
      this.#tables.set(table, counts);
      this.#tablets += 1;
      this.#files += files.length;
    }
    this.#bytes = [...this.#tables.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  get tablets(): number {
    return this.#tablets;
  }

  get files(): number {
    return this.#files;
  }

  /** Bytes of all files of all tablets so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The databases, with bytes and files (as `objects`) of their tables. Numbers of rows stay as they are. */
  countedDatabases(
    databases: readonly ManifestDatabase[],
    snapshots: readonly ManifestSnapshot[],
  ): readonly ManifestDatabase[] {
    return databases.map((database) => {
      const snapshot = snapshots.find((other) => other.database === database.name);
      return {
        ...database,
        tables: database.tables.map((table) => {
          const ids =
            snapshot?.tables
              .filter(({ schema, name }) => name === table.table && schema === table.schema)
              .map(({ id }) => id) ?? [];
          const counts = ids.map((id) => this.#tables.get(id) ?? { bytes: 0, files: 0 });
          return {
            ...table,
            bytes: counts.reduce((sum, { bytes }) => sum + bytes, 0),
            objects: counts.reduce((sum, { files }) => sum + files, 0),
          };
        }),
      };
    });
  }
}
