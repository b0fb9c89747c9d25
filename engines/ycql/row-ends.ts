import type { CqlPageColumn } from '../../repository/backups/cql-pages.ts';
import { isMultiCell, parseType } from './cql-type.ts';
import { fieldsOf, type RawCell } from './rows.ts';
import { ttlsIn } from './ttl.ts';

interface ValuePlaces {
  readonly valueAt: number;
  readonly ttlAt: number | undefined;
  readonly perElement: boolean;
  /** A user-defined type, of whose null fields the server returns a TTL of null too. */
  readonly hasFields: boolean;
}

/** How a restore writes what expires. */
interface EndRules {
  /** False where the target takes no TTL. */
  readonly ttls: boolean;
  /** Elements of a collection that expire at different times are written as one that never does. */
  readonly wholeCollections: boolean;
}

const EXACTLY: EndRules = { ttls: true, wholeCollections: false };

/** Tells of the rows of one object when they are gone by themselves: when the last of their cells has expired. */
export class RowEnds {
  readonly #regulars: readonly ValuePlaces[];
  readonly #statics: readonly ValuePlaces[];
  readonly #clusteringAt: number;
  readonly #rules: EndRules;

  /** @param rules how the rows were written to where they are looked for; left out: as the backup has them */
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

  /** Whether any row can end at all. */
  get any(): boolean {
    return this.#rules.ttls && [...this.#regulars, ...this.#statics].some(({ ttlAt }) => ttlAt !== undefined);
  }

  /** A row with a key of its own, unlike the static columns of a partition that has no rows. */
  isRow(cell: (at: number) => RawCell): boolean {
    return this.#clusteringAt < 0 || cell(this.#clusteringAt) !== null;
  }

  /**
   * When the last cell of a row expires, in milliseconds since 1970; undefined where one doesn't expire, or where the row is nothing
   * but its key. Static columns count for a partition that is nothing but them.
   *
   * @param cell the row's cell at a place
   * @param readAtMs when the row was read: TTLs count from then
   */
  endOf(cell: (at: number) => RawCell, readAtMs: number): number | undefined {
    return this.#endOf(this.isRow(cell) ? this.#regulars : this.#statics, cell, readAtMs);
  }

  /** When the last static column of a row's partition expires; undefined where one doesn't expire, or where there is none. */
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
