import type { CqlPageColumn, CqlPageHeader } from '../../../repository/backups/cql-pages.ts';
import { type BoundStatement, type Cell, UNSET } from '../bound-statement.ts';
import { int32 } from '../bytes.ts';
import { isMultiCell, parseType } from '../cql-type.ts';
import { quoteName, quoteTable } from '../identifiers.ts';
import type { RawCell } from '../rows.ts';
import type { Group, ValueColumn } from './cell-groups.ts';
import type { WritingRules } from './writing-rules.ts';

/** Means no expiry, even if the table has a default. */
const NO_TTL = int32(0);

/** A table that rows are written into: its columns, and the texts of statements on it. */
export class TableStatements {
  readonly name: string;
  readonly partitionAt: readonly number[];
  readonly clusteringAt: readonly number[];
  readonly statics: readonly ValueColumn[];
  readonly regulars: readonly ValueColumn[];
  readonly #header: CqlPageHeader;
  readonly #rules: WritingRules;
  readonly #texts = new Map<string, string>();

  constructor(header: CqlPageHeader, into: string, rules: WritingRules) {
    this.#header = header;
    this.#rules = rules;
    this.name = quoteTable(into, header.table);
    this.partitionAt = this.#placesOf('partition_key');
    this.clusteringAt = this.#placesOf('clustering');
    this.statics = this.#columnsOf('static');
    this.regulars = this.#columnsOf('regular');
  }

  /** Inserts a row. A value that is `UNSET` leaves what is there. */
  insertOf(
    columns: readonly ValueColumn[],
    key: readonly RawCell[],
    values: readonly Cell[],
    using: Pick<Group, 'writeTime' | 'ttl'>,
  ): BoundStatement {
    const isStatic = columns === this.statics;
    // Rows of a compact table may lack the last columns of their clustering key. These are left out, since null is refused.
    const present = key.filter((cell) => cell !== null);
    const query = this.text(isStatic ? 'insert static' : `insert ${present.length}`, () => {
      const keys = this.#keyNames(isStatic).slice(0, present.length);
      const names = [...keys, ...columns.map(({ name }) => quoteName(name))];
      return `INSERT INTO ${this.name} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})${this.#using()}`;
    });
    const params = [...present, ...values, ...this.usingParams(using)];
    return { query, params, partition: this.partitionOf(key) };
  }

  /** The cells of the partition, of a key. */
  partitionOf(key: readonly RawCell[]): readonly RawCell[] {
    return key.length === this.partitionAt.length ? key : key.slice(0, this.partitionAt.length);
  }

  /** Adds to what a collection has. */
  addition({ name, isStatic }: ValueColumn): string {
    return this.text(`add to ${name}`, () =>
      this.updateText(`${quoteName(name)} = ${quoteName(name)} + ?`, isStatic),
    );
  }

  updateText(assignments: string, isStatic: boolean): string {
    return `UPDATE ${this.name}${this.#using()} SET ${assignments} WHERE ${this.where(isStatic)}`;
  }

  where(isStatic: boolean): string {
    return this.#keyNames(isStatic)
      .map((name) => `${name} = ?`)
      .join(' AND ');
  }

  #using(): string {
    const { writeTimes, ttls } = this.#rules;
    const parts = [...(writeTimes ? ['TIMESTAMP ?'] : []), ...(ttls ? ['TTL ?'] : [])];
    return parts.length === 0 ? '' : ` USING ${parts.join(' AND ')}`;
  }

  /** If the write time isn't known, the server sets its own. */
  usingParams({ writeTime, ttl }: { readonly writeTime: RawCell; readonly ttl: number }): readonly Cell[] {
    return [
      ...(this.#rules.writeTimes ? [writeTime ?? UNSET] : []),
      ...(this.#rules.ttls ? [ttl === 0 ? NO_TTL : int32(ttl)] : []),
    ];
  }

  #keyNames(isStatic: boolean): readonly string[] {
    const places = isStatic ? this.partitionAt : [...this.partitionAt, ...this.clusteringAt];
    return places.map((at) => quoteName(this.#header.columns[at]?.name ?? ''));
  }

  /** A text that is made once. */
  text(what: string, make: () => string): string {
    const known = this.#texts.get(what);
    if (known !== undefined) return known;
    const text = make();
    this.#texts.set(what, text);
    return text;
  }

  #placesOf(kind: CqlPageColumn['kind']): readonly number[] {
    return this.#header.columns.flatMap((column, at) => (column.kind === kind ? [at] : []));
  }

  #columnsOf(kind: 'static' | 'regular'): readonly ValueColumn[] {
    const find = (name: string, of: CqlPageColumn['kind']) => {
      const at = this.#header.columns.findIndex((column) => column.kind === of && column.name === name);
      return at < 0 ? undefined : at;
    };
    return this.#placesOf(kind).map((valueAt, place) => {
      const { name = '', type = '' } = this.#header.columns[valueAt] ?? {};
      const parsed = parseType(type);
      return {
        name,
        type: parsed,
        isMultiCell: isMultiCell(parsed),
        isStatic: kind === 'static',
        place,
        valueAt,
        writeTimeAt: find(name, 'writetime'),
        ttlAt: find(name, 'ttl'),
      };
    });
  }
}
