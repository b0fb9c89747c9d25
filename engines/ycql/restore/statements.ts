import type { CqlPageColumn, CqlPageHeader } from '../../../repository/backups/cql-pages.ts';
import { type BoundStatement, type Cell, UNSET } from '../bound-statement.ts';
import { int32 } from '../bytes.ts';
import { type CqlType, isMultiCell, parseType } from '../cql-type.ts';
import { quoteName, quoteTable } from '../identifiers.ts';
import {
  elementsOf,
  entriesOf,
  fieldsOf,
  joinElements,
  type RawCell,
  type RowWalk,
  sameCell,
  sameCells,
} from '../rows.ts';
import type { UserType } from '../schema.ts';
import { ttlSeconds } from '../ttl.ts';
import { latestOf, runsOf, valuesIn } from './lists.ts';
import {
  bytesOfElements,
  bytesOfStatement,
  bytesOfValue,
  cutBySize,
  MUTATION_BYTES,
} from './mutation-size.ts';
import type { WritingRules } from './writing-rules.ts';

/** The statements of one row, all of one partition. */
export interface RowStatements {
  readonly statements: readonly BoundStatement[];
  /**
   * Remove what an earlier attempt may have written. Empty if writing the row twice, in any order, does no harm. Otherwise `statements` go as one
   * batch, in order; those of a row that is too large for one go as several, one after another.
   */
  readonly clears: readonly BoundStatement[];
  /** The statements go as one batch, or as several one after another, in order: the first one of a collection replaces it, and the others add to it. */
  readonly ordered: boolean;
  /** All of the row has expired. */
  readonly expired: boolean;
}

/** A column outside the key, and the places of its cells in a row. */
interface ValueColumn {
  readonly name: string;
  readonly type: CqlType;
  readonly isMultiCell: boolean;
  readonly isStatic: boolean;
  /** Its index among the columns of its kind. */
  readonly place: number;
  readonly valueAt: number;
  readonly writeTimeAt: number | undefined;
  readonly ttlAt: number | undefined;
}

/** Cells with one write time and one expiry. */
interface Group {
  readonly writeTime: RawCell;
  /** Seconds left; 0: never. */
  readonly ttl: number;
  readonly values: { readonly column: ValueColumn; readonly value: Buffer }[];
}

/** Elements of one collection with one write time and one expiry. */
interface ElementGroup {
  readonly writeTime: RawCell;
  readonly ttl: number;
  readonly indexes: number[];
}

/**
 * Turns rows of a backup into the fewest statements that write every cell with its own write time and expiry. Rows must come in the backup's order,
 * since static columns are written once per partition. Pure except for the partition that it remembers.
 */
export class RowStatementBuilder {
  readonly #header: CqlPageHeader;
  readonly #rules: WritingRules;
  readonly #types: readonly UserType[];
  readonly #table: string;
  readonly #partitionAt: readonly number[];
  readonly #clusteringAt: readonly number[];
  readonly #statics: readonly ValueColumn[];
  readonly #regulars: readonly ValueColumn[];
  readonly #texts = new Map<string, string>();
  #partition: readonly RawCell[] | undefined;

  constructor(header: CqlPageHeader, into: string, rules: WritingRules, types: readonly UserType[]) {
    this.#header = header;
    this.#rules = rules;
    this.#types = types;
    this.#table = quoteTable(into, header.table);
    this.#partitionAt = this.#placesOf('partition_key');
    this.#clusteringAt = this.#placesOf('clustering');
    this.#statics = this.#columnsOf('static');
    this.#regulars = this.#columnsOf('regular');
  }

  get width(): number {
    return this.#header.columns.length;
  }

  /** Whether writing a row twice may differ from writing it once, because elements of lists are added. */
  get hasLists(): boolean {
    return (
      !this.#rules.wholeCollections &&
      [...this.#statics, ...this.#regulars].some(
        ({ type, isMultiCell: multi }) => multi && type.kind === 'list',
      )
    );
  }

  /**
   * The statements of the walk's current row.
   *
   * @param readAtMs when the row was read
   * @param nowMs the present, both in milliseconds since 1970
   */
  statementsOf(row: RowWalk, readAtMs: number, nowMs: number): RowStatements {
    const elapsed = Math.max(0, Math.floor((nowMs - readAtMs) / 1_000));
    return this.#written(row, elapsed) ?? this.#statementsOf(row.cells(), elapsed);
  }

  /**
   * Handles the usual row in one statement: the table has no static columns, the row has no collection, and all cells have one write time and one
   * expiry, which is still to come. Undefined for any other row.
   */
  #written(row: RowWalk, elapsed: number): RowStatements | undefined {
    if (this.#statics.length > 0) return undefined;
    const present = this.#regulars.filter(({ valueAt }) => !row.isNull(valueAt));
    const [first] = present;
    if (first === undefined || this.#clusteringAt.some((at) => row.isNull(at))) return undefined;
    const { writeTimeAt, ttlAt } = first;
    for (const column of present) {
      if (column.isMultiCell) return undefined;
      if (this.#rules.writeTimes && !isLike(row, column.writeTimeAt, writeTimeAt)) return undefined;
      if (this.#rules.ttls && !isLike(row, column.ttlAt, ttlAt)) return undefined;
    }
    const ttl = ttlLeft(this.#rules.ttls && ttlAt !== undefined ? row.cell(ttlAt) : null, elapsed);
    if (ttl === undefined) return undefined;
    const key = [...this.#partitionAt, ...this.#clusteringAt].map((at) => row.cell(at));
    const writeTime = this.#rules.writeTimes && writeTimeAt !== undefined ? row.cell(writeTimeAt) : null;
    const absent = this.#rules.replaces ? null : UNSET;
    const cells = this.#regulars.map(({ valueAt }) => row.cell(valueAt) ?? absent);
    const insert = this.#insertOf(this.#regulars, key, cells, { writeTime, ttl });
    if (bytesOfStatement(insert) > MUTATION_BYTES) return undefined;
    return { statements: [insert], clears: [], ordered: false, expired: false };
  }

  #statementsOf(cells: readonly RawCell[], elapsed: number): RowStatements {
    const out: Output = { statements: [], clears: [], ordered: false, lapsed: false };
    const partition = this.#partitionAt.map((at) => cells[at] ?? null);
    if (this.#statics.length > 0 && !sameCells(partition, this.#partition)) {
      // The object before this one ends with rows of the same partition, and has written its static columns.
      const isWritten = this.#partition === undefined && this.#header.continued === true;
      // Copied, since it is kept longer than its page's memory.
      this.#partition = partition.map((cell) => (cell === null ? null : Buffer.from(cell)));
      if (!isWritten) this.#write(out, this.#statics, cells, partition, elapsed);
    }
    const clustering = this.#clusteringAt.map((at) => cells[at] ?? null);
    // A partition that has only static columns comes as a row without clustering key.
    const isRow = clustering.length === 0 || clustering[0] !== null;
    if (!isRow) {
      const { statements, clears, ordered, lapsed } = out;
      return { statements, clears, ordered, expired: lapsed && statements.length === 0 };
    }
    const key = [...partition, ...clustering];
    const before = out.statements.length;
    out.lapsed = false;
    this.#write(out, this.#regulars, cells, key, elapsed);
    const { statements, clears, ordered, lapsed } = out;
    const nothing = statements.length === before;
    // A row that has only a key, and no cell that has expired: the key itself is the content.
    if (nothing && !lapsed) statements.push(this.#insert(this.#regulars, key, NO_GROUP, NOTHING));
    return { statements, clears, ordered, expired: nothing && lapsed && statements.length === 0 };
  }

  #write(
    out: Output,
    columns: readonly ValueColumn[],
    cells: readonly RawCell[],
    key: readonly RawCell[],
    elapsed: number,
  ): void {
    const groups: Group[] = [];
    const add = (column: ValueColumn, value: Buffer, writeTime: RawCell, ttl: number) => {
      const known = groups.find((group) => group.ttl === ttl && sameCell(group.writeTime, writeTime));
      if (known !== undefined) known.values.push({ column, value });
      else groups.push({ writeTime, ttl, values: [{ column, value }] });
    };
    const later: (() => void)[] = [];
    const elsewhere = new Set<ValueColumn>();
    const { wholeCollections } = this.#rules;
    for (const column of columns) {
      const value = cells[column.valueAt];
      if (value === null || value === undefined) continue;
      const writeTime =
        this.#rules.writeTimes && column.writeTimeAt !== undefined
          ? (cells[column.writeTimeAt] ?? null)
          : null;
      const ttlCell = this.#rules.ttls && column.ttlAt !== undefined ? (cells[column.ttlAt] ?? null) : null;
      if (!column.isMultiCell) {
        const ttl = ttlLeft(ttlCell, elapsed);
        if (ttl === undefined) out.lapsed = true;
        else add(column, value, writeTime, ttl);
        continue;
      }
      const elements = elementGroups(column.type, value, writeTime, ttlCell, elapsed);
      if (elements.lapsed > 0) out.lapsed = true;
      if (column.type.kind === 'list' && !wholeCollections) this.#clear(out, column, value, writeTime, key);
      const [only, ...others] = elements.groups;
      if (only === undefined) continue;
      const left = elements.lapsed === 0 ? value : partOf(column.type, value, elements.groups);
      const isTooLarge = bytesOfValue(column.type, left) > MUTATION_BYTES;
      if (others.length === 0 && (wholeCollections || !isTooLarge))
        add(column, left, only.writeTime, only.ttl);
      else if (!wholeCollections) {
        elsewhere.add(column);
        const parts = isTooLarge ? cutGroups(column.type, value, elements.groups) : elements.groups;
        const replaces = this.#rules.replaces || others.length === 0;
        later.push(() => this.#writeElements(out, column, value, parts, key, replaces));
      } else {
        const isOneTtl = others.every(({ ttl }) => ttl === only.ttl);
        add(column, left, latestOf(writeTime), isOneTtl ? only.ttl : 0);
      }
    }
    // An INSERT also removes what the backup lacks. If the row needs none (its collections are written in parts, or a partition has no static
    // columns), an UPDATE removes it, since that doesn't create the row.
    const isBare = elsewhere.size > 0 || (columns === this.#statics && !out.lapsed);
    const absent = columns.filter((column) => !elsewhere.has(column));
    if (this.#rules.replaces && groups.length === 0 && isBare && absent.length > 0)
      out.statements.push(this.#update(columns, key, NO_GROUP, new Set(absent)));
    this.#writeGroups(out, columns, groups.flatMap(cutGroup), key, elsewhere);
    for (const write of later) write();
  }

  /**
   * Writes one group by INSERT, which also creates the row itself, and the others by UPDATE, so that the row doesn't expire with them. The row
   * itself expires only if all groups do.
   */
  #writeGroups(
    out: Output,
    columns: readonly ValueColumn[],
    groups: readonly Group[],
    key: readonly RawCell[],
    elsewhere: ReadonlySet<ValueColumn>,
  ): void {
    const [first, ...rest] = groups;
    if (first === undefined) return;
    const lasting = groups.find(({ ttl }) => ttl === 0);
    const base =
      lasting ?? rest.reduce((longest, group) => (group.ttl > longest.ttl ? group : longest), first);
    const others = new Set(elsewhere);
    for (const { values } of groups.filter((group) => group !== base)) {
      for (const { column } of values) others.add(column);
    }
    for (const group of groups) {
      out.statements.push(
        group === base ? this.#insert(columns, key, group, others) : this.#update(columns, key, group),
      );
    }
  }

  /** @param elsewhere columns that other statements of the row write */
  #insert(
    columns: readonly ValueColumn[],
    key: readonly RawCell[],
    group: Group,
    elsewhere: ReadonlySet<ValueColumn>,
  ): BoundStatement {
    const values = this.#rules.replaces
      ? valuesOf(columns, group, new Set(columns.filter((column) => !elsewhere.has(column))))
      : valuesOf(columns, group);
    return this.#insertOf(columns, key, values, group);
  }

  #insertOf(
    columns: readonly ValueColumn[],
    key: readonly RawCell[],
    values: readonly Cell[],
    using: Pick<Group, 'writeTime' | 'ttl'>,
  ): BoundStatement {
    const isStatic = columns === this.#statics;
    // Rows of a compact table may lack the last columns of their clustering key. These are left out, since null is refused.
    const present = key.filter((cell) => cell !== null);
    const query = this.#text(isStatic ? 'insert static' : `insert ${present.length}`, () => {
      const keys = this.#keyNames(isStatic).slice(0, present.length);
      const names = [...keys, ...columns.map(({ name }) => quoteName(name))];
      return `INSERT INTO ${this.#table} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})${this.#using()}`;
    });
    const params = [...present, ...values, ...this.#usingParams(using)];
    return { query, params, partition: this.#partitionOf(key) };
  }

  /** @param removed columns that are set to null */
  #update(
    columns: readonly ValueColumn[],
    key: readonly RawCell[],
    group: Group,
    removed: ReadonlySet<ValueColumn> = NOTHING,
  ): BoundStatement {
    const isStatic = columns === this.#statics;
    const query = this.#text(isStatic ? 'update static' : 'update', () =>
      this.#updateText(columns.map(({ name }) => `${quoteName(name)} = ?`).join(', '), isStatic),
    );
    const params = [...this.#usingParams(group), ...valuesOf(columns, group, removed), ...key];
    return { query, params, partition: this.#partitionOf(key) };
  }

  #partitionOf(key: readonly RawCell[]): readonly RawCell[] {
    return key.length === this.#partitionAt.length ? key : key.slice(0, this.#partitionAt.length);
  }

  /** @param replaces the first group takes the place of what is there */
  #writeElements(
    out: Output,
    column: ValueColumn,
    value: Buffer,
    groups: readonly ElementGroup[],
    key: readonly RawCell[],
    replaces: boolean,
  ): void {
    const { type, isStatic } = column;
    const name = quoteName(column.name);
    const partition = this.#partitionOf(key);
    if (type.kind === 'list') {
      this.#writeList(out, column, value, groups, key);
      return;
    }
    const [first, ...rest] = groups;
    if (replaces && first !== undefined) {
      // The first group replaces what is there. The others are added to it, at the same time or later.
      const whole = this.#text(`whole ${column.name}`, () => this.#updateText(`${name} = ?`, isStatic));
      const params = [...this.#usingParams(first), partOf(type, value, [first]), ...key];
      out.statements.push({ query: whole, params, partition });
      out.ordered = true;
    }
    const added = replaces ? rest : groups;
    if (type.kind === 'udt') {
      const fields = this.#types.find((known) => known.name === type.name)?.fields ?? [];
      const query = this.#text(`fields ${column.name}`, () =>
        this.#updateText(fields.map((field) => `${name}.${quoteName(field.name)} = ?`).join(', '), isStatic),
      );
      const cells = fieldsOf(value);
      for (const group of added) {
        const params = fields.map(
          (_, index): Cell => (group.indexes.includes(index) ? (cells[index] ?? null) : UNSET),
        );
        out.statements.push({ query, params: [...this.#usingParams(group), ...params, ...key], partition });
      }
      return;
    }
    const query = this.#addition(column);
    for (const group of added) {
      const part = partOf(type, value, [group]);
      out.statements.push({ query, params: [...this.#usingParams(group), part, ...key], partition });
    }
  }

  /** Writes an empty list at the time of the oldest element, which hides what was there before that time; then adds the elements, run by run. */
  #writeList(
    out: Output,
    column: ValueColumn,
    value: Buffer,
    groups: readonly ElementGroup[],
    key: readonly RawCell[],
  ): void {
    const { name, isStatic } = column;
    const partition = this.#partitionOf(key);
    const { writeTime } = groups.reduce((least, group) =>
      isEarlier(group.writeTime, least.writeTime) ? group : least,
    );
    const whole = this.#text(`list ${name}`, () => this.#updateText(`${quoteName(name)} = ?`, isStatic));
    const nothing = [...this.#usingParams({ writeTime, ttl: 0 }), joinElements(0, []), ...key];
    out.statements.push({ query: whole, params: nothing, partition });
    const query = this.#addition(column);
    for (const run of runsOf(value, groups)) {
      const elements = joinElements(run.elements.length, run.elements);
      out.statements.push({ query, params: [...this.#usingParams(run), elements, ...key], partition });
    }
  }

  /** Removes the backup's elements from a list, at the time of its newest element. */
  #clear(
    out: Output,
    { name, isStatic }: ValueColumn,
    value: Buffer,
    writeTimes: RawCell,
    key: readonly RawCell[],
  ): void {
    const using = this.#rules.writeTimes ? ' USING TIMESTAMP ?' : '';
    const query = this.#text(
      `clear ${name}`,
      () =>
        `UPDATE ${this.#table}${using} SET ${quoteName(name)} = ${quoteName(name)} - ? WHERE ${this.#where(isStatic)}`,
    );
    const time = this.#rules.writeTimes ? [latestOf(writeTimes) ?? UNSET] : [];
    for (const values of valuesIn(value))
      out.clears.push({ query, params: [...time, values, ...key], partition: this.#partitionOf(key) });
  }

  #addition({ name, isStatic }: ValueColumn): string {
    return this.#text(`add to ${name}`, () =>
      this.#updateText(`${quoteName(name)} = ${quoteName(name)} + ?`, isStatic),
    );
  }

  #updateText(assignments: string, isStatic: boolean): string {
    return `UPDATE ${this.#table}${this.#using()} SET ${assignments} WHERE ${this.#where(isStatic)}`;
  }

  #where(isStatic: boolean): string {
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
  #usingParams({ writeTime, ttl }: { readonly writeTime: RawCell; readonly ttl: number }): readonly Cell[] {
    return [
      ...(this.#rules.writeTimes ? [writeTime ?? UNSET] : []),
      ...(this.#rules.ttls ? [ttl === 0 ? NO_TTL : int32(ttl)] : []),
    ];
  }

  #keyNames(isStatic: boolean): readonly string[] {
    const places = isStatic ? this.#partitionAt : [...this.#partitionAt, ...this.#clusteringAt];
    return places.map((at) => quoteName(this.#header.columns[at]?.name ?? ''));
  }

  #text(what: string, make: () => string): string {
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

interface Output {
  readonly statements: BoundStatement[];
  readonly clears: BoundStatement[];
  ordered: boolean;
  /** A cell or an element has expired. */
  lapsed: boolean;
}

/** Means no expiry, even if the table has a default. */
const NO_TTL = int32(0);
const NO_GROUP: Group = { writeTime: null, ttl: 0, values: [] };
const NOTHING: ReadonlySet<ValueColumn> = new Set();

/** Whether two cells of a row are equal. The backup may lack either. */
function isLike(row: RowWalk, one: number | undefined, other: number | undefined): boolean {
  if (one === other) return true;
  return one !== undefined && other !== undefined && row.isSame(one, other);
}

/** Seconds left; 0: never expires; undefined: has expired. */
function ttlLeft(cell: RawCell, elapsed: number): number | undefined {
  if (cell === null) return 0;
  const left = ttlSeconds(cell) - elapsed;
  return left > 0 ? left : undefined;
}

/** Groups the elements of a collection by write time and seconds left. Expired ones are left out and counted. */
function elementGroups(
  type: CqlType,
  value: Buffer,
  writeTimes: RawCell,
  ttls: RawCell,
  elapsed: number,
): { readonly groups: readonly ElementGroup[]; readonly lapsed: number } {
  const indexes = presentElements(type, value);
  const times = writeTimes === null ? [] : elementsOf(writeTimes);
  const left = ttls === null ? [] : elementsOf(ttls);
  const groups: ElementGroup[] = [];
  let lapsed = 0;
  for (const index of indexes) {
    const writeTime = times[index] ?? null;
    const ttl = ttlLeft(left[index] ?? null, elapsed);
    if (ttl === undefined) {
      lapsed += 1;
      continue;
    }
    const known = groups.find((group) => group.ttl === ttl && sameCell(group.writeTime, writeTime));
    if (known !== undefined) known.indexes.push(index);
    else groups.push({ writeTime, ttl, indexes: [index] });
  }
  return { groups, lapsed };
}

/** Cells that are too large for one statement, in several with the same time and expiry. */
function cutGroup(group: Group): readonly Group[] {
  const runs = cutBySize(group.values, ({ column, value }) => bytesOfValue(column.type, value));
  return runs.length < 2 ? [group] : runs.map((values) => ({ ...group, values }));
}

/** The same for the elements of a collection. */
function cutGroups(type: CqlType, value: Buffer, groups: readonly ElementGroup[]): readonly ElementGroup[] {
  const bytes = bytesOfElements(type, value);
  return groups.flatMap((group) =>
    cutBySize(group.indexes, (index) => bytes[index] ?? 0).map((indexes) => ({ ...group, indexes })),
  );
}

/** Indexes of the elements of a value; of a user-defined type, of its fields that aren't null. */
function presentElements(type: CqlType, value: Buffer): readonly number[] {
  if (type.kind === 'udt') return fieldsOf(value).flatMap((field, index) => (field === null ? [] : [index]));
  const count = value.length < 4 ? 0 : value.readInt32BE(0);
  return Array.from({ length: count }, (_, index) => index);
}

/** The part of a value that belongs to some groups: elements, or fields of a user-defined type. */
function partOf(type: CqlType, value: Buffer, groups: readonly ElementGroup[]): Buffer {
  const indexes = groups.flatMap((group) => group.indexes).sort((one, other) => one - other);
  if (type.kind === 'map') {
    const all = entriesOf(value);
    return joinElements(
      indexes.length,
      indexes.flatMap((index) => all[index] ?? [null, null]),
    );
  }
  if (type.kind === 'udt') {
    // A value of a user-defined type has no count before its fields.
    const fields = fieldsOf(value).map((field, index) => (indexes.includes(index) ? field : null));
    return joinElements(fields.length, fields).subarray(4);
  }
  const all = elementsOf(value);
  return joinElements(
    indexes.length,
    indexes.map((index) => all[index] ?? null),
  );
}

/** @param removed columns that are written as null if the group has no value for them; others stay as they are */
function valuesOf(
  columns: readonly ValueColumn[],
  group: Group,
  removed: ReadonlySet<ValueColumn> = NOTHING,
): readonly Cell[] {
  if (group.values.length === columns.length) return group.values.map(({ value }) => value);
  const values = columns.map((column): Cell => (removed.has(column) ? null : UNSET));
  for (const { column, value } of group.values) values[column.place] = value;
  return values;
}

function isEarlier(one: RawCell, other: RawCell): boolean {
  if (one === null || other === null) return false;
  return one.readBigInt64BE(0) < other.readBigInt64BE(0);
}
