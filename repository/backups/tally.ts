import type { DataObject, ObjectEntry, TableId } from '../../model/backup.ts';
import { permanent } from '../../model/errors.ts';
import type { Manifest, ManifestDatabase, ManifestTable } from '../../model/manifest.ts';
import { isShared } from '../layout.ts';

interface Counts {
  rows: number;
  bytes: number;
  objects: number;
  expiring: number;
  bare: number;
  readonly unread: string[];
}

function noCounts(): Counts {
  return { rows: 0, bytes: 0, objects: 0, expiring: 0, bare: 0, unread: [] };
}

/** Counts data objects one by one, by table and in total. */
export class DataTally {
  readonly #tables = new Map<string, Counts>();
  #rows = 0;
  #bytes = 0;
  #storedBytes = 0;
  /** Keys and places of shared bytes that are counted, since several data objects may have the same. */
  readonly #shared = new Set<string>();
  #dataObjects = 0;
  #wholeObjects = 0;
  /** Of packs and shared objects, which may hold several data objects. */
  readonly #keys = new Set<string>();

  add(object: DataObject): void {
    const key = tableKey(object.table);
    const counts = this.#tables.get(key) ?? noCounts();
    counts.rows += object.rows;
    counts.bytes += object.bytes;
    counts.objects += 1;
    counts.expiring += object.expiring ?? 0;
    counts.bare += object.bare ?? 0;
    counts.unread.push(...(object.unread ?? []));
    this.#tables.set(key, counts);
    this.#rows += object.rows;
    this.#bytes += object.bytes;
    this.#storedBytes += this.#isCounted(object) ? 0 : object.sizeBytes;
    this.#dataObjects += 1;
    if (object.at !== undefined || isShared(object.key)) this.#keys.add(object.key);
    else this.#wholeObjects += 1;
  }

  #isCounted({ key, at = 0 }: DataObject): boolean {
    if (!isShared(key)) return false;
    const place = `${key}@${at}`;
    if (this.#shared.has(place)) return true;
    this.#shared.add(place);
    return false;
  }

  /** Number of data objects, pieces of packs included. */
  get dataObjects(): number {
    return this.#dataObjects;
  }

  /** The databases, with the counts of their tables. Throws `MANIFEST_UNKNOWN_TABLE` for data of a table that no database has. */
  countedDatabases(databases: readonly ManifestDatabase[]): readonly ManifestDatabase[] {
    const unclaimed = new Map(this.#tables);
    const counted = databases.map((database) => ({
      ...database,
      tables: database.tables.map((listed): ManifestTable => {
        const { schema, table } = listed;
        const key = tableKey({ database: database.name, schema, table });
        const { rows, bytes, objects, expiring, bare, unread } = unclaimed.get(key) ?? noCounts();
        unclaimed.delete(key);
        return {
          ...listed,
          rows,
          bytes,
          objects,
          ...(expiring === 0 ? {} : { expiring }),
          ...(bare === 0 ? {} : { bare }),
          ...(unread.length === 0 ? {} : { unread }),
        };
      }),
    }));
    const [unknown] = unclaimed.keys();
    if (unknown !== undefined) {
      throw permanent(
        'MANIFEST_UNKNOWN_TABLE',
        `There is data of the table ${unknown}, which the backup does not list.`,
        'Run the backup again, and report this: it is a mistake in Holdfast.',
      );
    }
    return counted;
  }

  /** Totals of what is stored. A pack counts as one object. @param others schema and common objects, which count too */
  totals(databases: readonly ManifestDatabase[], others: readonly ObjectEntry[]): Manifest['totals'] {
    return {
      rows: this.#rows,
      bytes: this.#bytes,
      storedBytes: this.#storedBytes + others.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      objects: this.#wholeObjects + this.#keys.size + others.length,
      tables: databases.reduce((sum, { tables }) => sum + tables.length, 0),
    };
  }
}

function tableKey({ database, schema, table }: TableId): string {
  return JSON.stringify([database, schema, table]);
}
