import type { CqlPageColumn } from '../../repository/backups/cql-pages.ts';
import { isMultiCell, parseType } from './cql-type.ts';
import { fieldsOf, type RawCell } from './rows.ts';
import { ttlsIn } from './ttl.ts';

interface ValuePlaces {
  readonly valueAt: number;
  readonly ttlAt: number | undefined;
  readonly perElement: boolean;
  /** A user-defined type: the server returns a null TTL for its null fields too. */
  readonly hasFields: boolean;
}

/** How a restore writes what expires. */
interface EndRules {
  /** False if the target takes no TTL. */
  readonly ttls: boolean;
  /** A collection whose elements expire at different times is written as one that never expires. */
  readonly wholeCollections: boolean;
}

const EXACTLY: EndRules = { ttls: true, wholeCollections: false };

/** Computes when rows of one object disappear by themselves, which is when the last of their cells has expired. */
export class RowEnds {
  readonly #regulars: readonly ValuePlaces[];
  readonly #statics: readonly ValuePlaces[];
  readonly #clusteringAt: number;
  readonly #rules: EndRules;

  /** @param rules how the rows were written to the place where they are looked for. Absent: as the backup has them. */
  constructor(columns: readonly CqlPageColumn[], rules = EXACTLY) {
    const places = (wanted: 'regular' | 'static') =>
      columns.flatMap(({ name, type, kind }, valueAt): readonly ValuePlaces[] => {
        if (kind !== wanted) return [];
        const ttlAt = columns.findIndex((other) => other.kind === 'ttl' && other.name === name);
        const parsed = parseType(type);
        const perElement = isMultiCell(parsed);
        const hasFields = perElement && parsed.kind === 'udt';
        return [{ valueAt, ttlAt: ttlAt < 0 ? undefined : ttlAt, perElement, hasFields }];
      });
    this.#regulars = places('regular');
    this.#statics = places('static');
    this.#clusteringAt = columns.findIndex(({ kind }) => kind === 'clustering');
    this.#rules = rules;
  }

  /** Whether it is a row with a key of its own, and not the static columns of a partition without rows. */
  isRow(cell: (at: number) => RawCell): boolean {
    return this.#clusteringAt < 0 || cell(this.#clusteringAt) !== null;
  }

  /** Whether a row is nothing but its key, beside static columns of its partition. */
  isBare(cell: (at: number) => RawCell): boolean {
    return this.#regulars.every(({ valueAt }) => cell(valueAt) === null);
  }

  /**
   * When the last cell of a row expires, in milliseconds since 1970. Undefined if a cell never expires, or if the row has only a key. For a
   * partition that has only static columns, these count.
   *
   * @param cell the row's cell at a place
   * @param readAtMs when the row was read, from which TTLs count
   */
  endOf(cell: (at: number) => RawCell, readAtMs: number): number | undefined {
    return this.#endOf(this.isRow(cell) ? this.#regulars : this.#statics, cell, readAtMs);
  }

  /** When the last static column of a row's partition expires. Undefined if one never expires, or if there is none. */
  endOfStatics(cell: (at: number) => RawCell, readAtMs: number): number | undefined {
    return this.#endOf(this.#statics, cell, readAtMs);
  }

  #endOf(
    places: readonly ValuePlaces[],
    cell: (at: number) => RawCell,
    readAtMs: number,
  ): number | undefined {
    if (!this.#rules.ttls) return undefined;
    let last: number | undefined;
    for (const { valueAt, ttlAt, perElement, hasFields } of places) {
      const value = cell(valueAt);
      if (value === null) continue;
      const found = ttlAt === undefined ? [] : ttlsIn(cell(ttlAt), perElement);
      const fields = hasFields ? fieldsOf(value) : [];
      const ttls = hasFields ? found.filter((_, index) => (fields[index] ?? null) !== null) : found;
      if (ttls.length === 0) return undefined;
      if (this.#rules.wholeCollections && ttls.some((ttl) => ttl !== ttls[0])) return undefined;
      for (const ttl of ttls) {
        if (ttl === undefined) return undefined;
        last = Math.max(last ?? 0, readAtMs + ttl * 1_000);
      }
    }
    return last;
  }
}
